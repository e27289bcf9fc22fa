// Sessions that poll: answers and their headers, bodies, JSONP, compression, two requests at once.

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const OCTETS = { 'content-type': 'application/octet-stream' };
const TRIDENT = { 'user-agent': 'Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko' };
const LONG = 'x'.repeat(2000);

export const target = 'events';

export const cases = {
  // Answers.
  'poll-connect': async (to) => {
    const { address } = await to.polling();
    await to.post(address, '40');
    await to.get(address);
  },
  'poll-connect-3': async (to) => to.get((await to.polling('EIO=3')).address),
  'poll-connect-3-b64': async (to) => to.get((await to.polling('EIO=3&b64=1')).address),
  'poll-trident': async (to) => {
    const { address } = await to.polling();
    await to.post(address, '40', { headers: TRIDENT });
    await to.get(address, { headers: TRIDENT });
  },
  'poll-echo': async (to) => (await joined(to)).exchange('421["echo","✓😀\u2028"]'),
  'poll-echo-3': async (to) => (await joined(to, 'EIO=3')).exchange('421["echo","✓😀\u2028"]'),
  'poll-several': async (to) => (await joined(to)).exchange('42["getUtf8"]'),
  'poll-several-3': async (to) => (await joined(to, 'EIO=3')).exchange('42["getUtf8"]'),
  'poll-binary': async (to) => (await joined(to)).exchange('42["doge"]'),
  'poll-binary-3': async (to) => {
    const session = await joined(to, 'EIO=3');
    await session.sendText('42["doge"]');
    await to.get(session.address);
  },
  'poll-binary-3-b64': async (to) => (await joined(to, 'EIO=3&b64=1')).exchange('42["doge"]'),
  'poll-forty': async (to) => {
    const session = await joined(to);
    await to.post(session.address, Array(40).fill('42["hi"]').join('\x1e'));
    await session.settle();
  },

  // Compression.
  'gzip-long': async (to) => compressed(to, { 'accept-encoding': 'gzip, deflate, br' }),
  'gzip-deflate': async (to) => compressed(to, { 'accept-encoding': 'deflate' }),
  'gzip-br': async (to) => compressed(to, { 'accept-encoding': 'br' }),
  'gzip-not-asked': async (to) => compressed(to, {}),
  'gzip-refused': async (to) => compressed(to, { 'accept-encoding': 'gzip;q=0' }),
  'gzip-short': async (to) => compressed(to, { 'accept-encoding': 'gzip' }, 'short'),
  'gzip-1023': async (to) => compressed(to, { 'accept-encoding': 'gzip' }, 'x'.repeat(1016)),
  'gzip-1024': async (to) => compressed(to, { 'accept-encoding': 'gzip' }, 'x'.repeat(1017)),
  'gzip-3': async (to) => compressed(to, { 'accept-encoding': 'gzip' }, LONG, 'EIO=3'),
  'gzip-jsonp': async (to) => compressed(to, { 'accept-encoding': 'gzip' }, LONG, 'EIO=3&j=0'),

  // Bodies.
  'post-octets': async (to) => {
    const session = await joined(to);
    await to.post(session.address, '42["hi"]', { headers: OCTETS });
    await session.settle();
  },
  'post-octets-3': async (to) => {
    const session = await joined(to, 'EIO=3');
    const packet = Buffer.from('42["hi"]');
    await to.post(session.address, Buffer.concat([Buffer.from([0, 8, 255]), packet]), { headers: OCTETS });
    await session.settle();
  },
  'post-octets-3-binary-event': async (to) => {
    const session = await joined(to, 'EIO=3');
    const header = Buffer.from('451-1["echo",{"_placeholder":true,"num":0}]');
    const body = Buffer.concat([Buffer.from([0, 4, 3, 255]), header, Buffer.from([1, 4, 255, 4, 1, 2, 3])]);
    await to.post(session.address, body, { headers: OCTETS });
    await to.get(session.address);
  },
  'post-json-type': async (to) => bodyIs(to, '42["hi"]', 'EIO=4', { 'content-type': 'application/json' }),
  'post-no-type': async (to) => {
    const session = await joined(to);
    await to.raw(`POST /socket.io/?${session.address} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 8\r\n\r\n42["hi"]`);
    await session.settle();
  },
  'post-chunked': async (to) => {
    const session = await joined(to);
    await to.raw(`POST /socket.io/?${session.address} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n42["\r\n4\r\nhi"]\r\n0\r\n\r\n`);
    await session.settle();
  },
  'post-http-1.0': async (to) => {
    const session = await joined(to);
    await to.raw(`POST /socket.io/?${session.address} HTTP/1.0\r\nHost: HOST\r\nContent-Length: 8\r\n\r\n42["hi"]`);
    await session.settle();
  },
  'post-empty': (to) => bodyIs(to, ''),
  'post-empty-3': (to) => bodyIs(to, '', 'EIO=3'),
  'post-largest': (to) => bodyIs(to, `42["x","${'x'.repeat(1_000_000 - 10)}"]`),
  'post-too-large': (to) => bodyIs(to, `42["x","${'x'.repeat(1_000_000)}"]`),
  'post-word': (to) => bodyIs(to, 'abc'),
  'post-unknown-type': (to) => bodyIs(to, '9'),
  'post-separators': (to) => bodyIs(to, '\x1e\x1e'),
  'post-trailing-separator': (to) => bodyIs(to, '42["hi"]\x1e'),
  'post-bad-after-good': (to) => bodyIs(to, '42["hi"]\x1e9'),
  'post-good-after-bad': (to) => bodyIs(to, '9\x1e42["hi"]'),
  'post-base64': (to) => bodyIs(to, '451-1["echo",{"_placeholder":true,"num":0}]\x1ebAQID'),
  'post-base64-bad': (to) => bodyIs(to, '451-1["echo",{"_placeholder":true,"num":0}]\x1eb!!!!'),
  'post-base64-unannounced': (to) => bodyIs(to, 'bAQID'),
  'post-invalid-utf-8': (to) => bodyIs(to, Buffer.concat([Buffer.from('421["echo","'), Buffer.from([0xff, 0xc3]), Buffer.from('"]')])),
  'post-nul': (to) => bodyIs(to, '421["echo","\\u0000"]\x00'),
  'post-3-several': (to) => bodyIs(to, '8:42["hi"]8:42["hi"]', 'EIO=3'),
  'post-3-length-short': (to) => bodyIs(to, '7:42["hi"]', 'EIO=3'),
  'post-3-length-long': (to) => bodyIs(to, '9:42["hi"]', 'EIO=3'),
  'post-3-length-zero': (to) => bodyIs(to, '0:', 'EIO=3'),
  'post-3-length-word': (to) => bodyIs(to, 'x:42["hi"]', 'EIO=3'),
  'post-3-length-negative': (to) => bodyIs(to, '-1:42["hi"]', 'EIO=3'),
  'post-3-length-padded': (to) => bodyIs(to, '08:42["hi"]', 'EIO=3'),
  'post-3-length-missing': (to) => bodyIs(to, '42["hi"]', 'EIO=3'),
  'post-3-utf-16-lengths': (to) => bodyIs(to, framed('421["echo","✓😀"]'), 'EIO=3'),
  'post-3-encoded-twice': (to) => bodyIs(to, framed(Buffer.from('421["echo","✓😀"]').toString('latin1')), 'EIO=3'),
  'post-3-base64': (to) => bodyIs(to, framed('451-1["echo",{"_placeholder":true,"num":0}]', 'b4AQID'), 'EIO=3&b64=1'),
  'post-v4-body-to-3': (to) => bodyIs(to, '42["hi"]\x1e42["hi"]', 'EIO=3'),
  'post-v3-body-to-4': (to) => bodyIs(to, '8:42["hi"]'),

  // JSONP.
  'jsonp-handshake': (to) => to.get('EIO=3&transport=polling&j=0'),
  'jsonp-handshake-4': (to) => to.get('EIO=4&transport=polling&j=0'),
  'jsonp-handshake-no-eio': (to) => to.get('transport=polling&j=7'),
  'jsonp-index-word': (to) => to.get('EIO=3&transport=polling&j=a1;b2'),
  'jsonp-index-empty': (to) => to.get('EIO=3&transport=polling&j='),
  'jsonp-trident': (to) => to.get('EIO=3&transport=polling&j=0', { headers: TRIDENT }),
  'jsonp-poll': async (to) => to.get((await to.polling('EIO=3&j=0')).address),
  'jsonp-poll-other-index': async (to) => to.get((await to.polling('EIO=3&j=0')).address.replace('j=0', 'j=1')),
  'jsonp-poll-without-index': async (to) => to.get((await to.polling('EIO=3&j=0')).address.replace('&j=0', '')),
  'jsonp-index-later': async (to) => to.get(`${(await to.polling('EIO=3')).address}&j=0`),
  'jsonp-echo': (to) => jsonp(to, form('421["echo","a\\"b"]')),
  'jsonp-echo-lines': (to) => jsonp(to, form('421["echo","a\u2028"]')),
  'jsonp-echo-newline': (to) => jsonp(to, `d=${encodeURIComponent(framed('421["echo","a\\nb"]').replace('\\n', '\\\\n'))}`),
  'jsonp-newline-between': (to) => jsonp(to, `d=${encodeURIComponent(framed('421["echo",\n"ab"]').replace('\n', '\\n'))}`),
  'jsonp-plus': (to) => jsonp(to, `d=${framed('421["echo", "ab"]').replace(' ', '+')}`),
  'jsonp-no-d': (to) => jsonp(to, `e=${framed('421["echo", "ab"]')}`),
  'jsonp-d-twice': (to) => jsonp(to, 'd=8:42["hi"]&d=8:42["hi"]'),
  'jsonp-plain-body': (to) => jsonp(to, '8:42["hi"]', { 'content-type': 'text/plain' }),
  'jsonp-form-with-plain-type': (to) => jsonp(to, `d=${encodeURIComponent('8:42["hi"]')}`, { 'content-type': 'text/plain' }),
  'jsonp-binary': (to) => jsonp(to, `d=${encodeURIComponent('10:42["doge"]')}`),
  'jsonp-binary-b64': (to) => jsonp(to, `d=${encodeURIComponent('10:42["doge"]')}`, FORM, 'EIO=3&j=0&b64=1'),
  'form-without-jsonp': (to) => bodyIs(to, `d=${encodeURIComponent('8:42["hi"]')}`, 'EIO=3', FORM),

  // Engine.IO's packet types.
  'polling-type-0': (to) => bodyIs(to, '0'),
  'polling-type-1': (to) => bodyIs(to, '1'),
  'polling-type-2': (to) => bodyIs(to, '2'),
  'polling-type-3': (to) => bodyIs(to, '3'),
  'polling-type-4': (to) => bodyIs(to, '4'),
  'polling-type-5': (to) => bodyIs(to, '5'),
  'polling-type-6': (to) => bodyIs(to, '6'),
  'polling-type-7': (to) => bodyIs(to, '7'),
  'polling-3-type-0': (to) => bodyIs(to, '1:0', 'EIO=3'),
  'polling-3-type-1': (to) => bodyIs(to, '1:1', 'EIO=3'),
  'polling-3-type-2': (to) => bodyIs(to, '1:2', 'EIO=3'),
  'polling-3-type-2-probe': (to) => bodyIs(to, '6:2probe', 'EIO=3'),
  'polling-3-type-3': (to) => bodyIs(to, '1:3', 'EIO=3'),
  'polling-3-type-4': (to) => bodyIs(to, '1:4', 'EIO=3'),
  'polling-3-type-5': (to) => bodyIs(to, '1:5', 'EIO=3'),
  'polling-3-type-6': (to) => bodyIs(to, '1:6', 'EIO=3'),
  'polling-3-type-7': (to) => bodyIs(to, '1:7', 'EIO=3'),

  // Requests that meet, or end early.
  'poll-twice': async (to) => {
    const session = await to.polling();
    // Nothing is to be told before the client has joined, so the first of the two waits.
    const first = to.send('GET', session.address);
    await passed(to);
    await to.get(session.address);
    const { status, body, failed } = await first;
    to.note(`first ${failed ?? `${status} ${body}`}`);
    await session.settle();
  },
  'poll-cut': async (to) => {
    const session = await joined(to);
    const request = to.hold('GET', session.address);
    await passed(to);
    await request.cut();
    await passed(to);
    await session.settle();
  },
  'post-twice': async (to) => {
    const session = await joined(to);
    const first = to.hold('POST', session.address, { headers: { 'content-length': '8' }, part: '42["' });
    await passed(to);
    await to.post(session.address, '42["hi"]');
    await first.cut();
    await session.settle();
  },
  'post-cut': async (to) => {
    const session = await joined(to);
    const first = to.hold('POST', session.address, { headers: { 'content-length': '8' }, part: '42["' });
    await passed(to);
    await first.cut();
    await passed(to);
    await session.settle();
  },
  'close-while-polling': async (to) => {
    const session = await joined(to);
    const poll = to.send('GET', session.address);
    await passed(to);
    await to.post(session.address, '1');
    const { status, body, failed } = await poll;
    to.note(`poll ${failed ?? `${status} ${body}`}`);
    await session.settle();
  },
  'bad-packet-while-polling': async (to) => {
    const session = await joined(to);
    const poll = to.send('GET', session.address);
    await passed(to);
    await to.post(session.address, '42[1');
    const { status, body, failed } = await poll;
    to.note(`poll ${failed ?? `${status} ${body}`}`);
    await session.settle();
  },
};

async function joined(to, query) {
  return (await to.polling(query)).join();
}

/** What was sent before has reached the server, as far as anybody outside can tell: it has answered three later requests. */
async function passed(to) {
  for (let times = 0; times < 3; times += 1) await to.send('GET', 'EIO=4&transport=tobi');
}

async function bodyIs(to, body, query = 'EIO=4', headers = {}) {
  const session = await joined(to, query);
  await to.post(session.address, body, { headers });
  await session.settle();
}

async function compressed(to, headers, text = LONG, query = 'EIO=4') {
  const session = await to.polling(query);
  if (session.version === 4) await session.join();
  else await to.send('GET', session.address);
  const packet = `421["echo","${text}"]`;
  const payload = session.version === 4 ? packet : `${packet.length}:${packet}`;
  const isForm = query.includes('j=');
  const body = isForm ? `d=${encodeURIComponent(payload)}` : payload;
  await to.send('POST', session.address, { body, headers: isForm ? FORM : {} });
  await to.get(session.address, { headers });
}

/** Packets in the framing of version 3. */
function framed(...packets) {
  return packets.map((packet) => `${packet.length}:${packet}`).join('');
}

function form(packet) {
  return `d=${encodeURIComponent(framed(packet))}`;
}

async function jsonp(to, body, headers = FORM, query = 'EIO=3&j=0') {
  const { address } = await to.polling(query);
  await to.send('GET', address);
  await to.post(address, body, { headers });
  // Something is told in any case, so that the poll ends.
  await to.send('POST', address, { body: form('420["echo",0]'), headers: FORM });
  await to.get(address);
}
