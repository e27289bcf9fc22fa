// WebSockets: frames, Engine.IO's packet types on them, subprotocols, and going over from polling.

export const target = 'events';

export const cases = {
  // The opening.
  'websocket-opening': async (to) => (await to.webSocket('EIO=4', { notes: true })).exchange(),
  'websocket-opening-3': async (to) => (await to.webSocket('EIO=3', { notes: true })).exchange(),
  'websocket-opening-3-b64': async (to) => (await (await to.webSocket('EIO=3&b64=1')).join()).exchange('42["doge"]'),
  'websocket-opening-no-eio': async (to) => (await to.webSocket('', { notes: true })).exchange(),
  'websocket-opening-5': async (to) => (await to.webSocket('EIO=5', { notes: true })).exchange(),
  'websocket-deflate': async (to) => (await to.webSocket('EIO=4', { notes: true, deflate: true })).exchange(),
  'websocket-protocol': async (to) => (await to.webSocket('EIO=4', { notes: true, protocols: ['chat'] })).exchange(),
  'websocket-protocols': async (to) => (await to.webSocket('EIO=4', { notes: true, protocols: ['one', 'two'] })).exchange(),
  'websocket-protocol-bad': (to) => to.upgrade('EIO=4&transport=websocket', { headers: { 'sec-websocket-protocol': 'a b,,' } }),

  // Engine.IO's packet types.
  'websocket-type-0': (to) => packets(to, '0'),
  'websocket-type-1': (to) => packets(to, '1'),
  'websocket-type-2': (to) => packets(to, '2'),
  'websocket-type-2-probe': (to) => packets(to, '2probe'),
  'websocket-type-3': (to) => packets(to, '3'),
  'websocket-type-3-probe': (to) => packets(to, '3probe'),
  'websocket-type-4': (to) => packets(to, '4'),
  'websocket-type-4-word': (to) => packets(to, '4x'),
  'websocket-type-5': (to) => packets(to, '5'),
  'websocket-type-6': (to) => packets(to, '6'),
  'websocket-type-7': (to) => packets(to, '7'),
  'websocket-type-word': (to) => packets(to, 'abc'),
  'websocket-type-b': (to) => packets(to, '451-1["echo",{"_placeholder":true,"num":0}]', 'bAQID'),
  'websocket-empty': (to) => packets(to, ''),
  'websocket-separator': (to) => packets(to, '42["hi"]\x1e42["hi"]'),
  'websocket-3-type-0': (to) => packets3(to, '0'),
  'websocket-3-type-1': (to) => packets3(to, '1'),
  'websocket-3-type-2': (to) => packets3(to, '2'),
  'websocket-3-type-2-probe': (to) => packets3(to, '2probe'),
  'websocket-3-type-2-word': (to) => packets3(to, '2word'),
  'websocket-3-type-3': (to) => packets3(to, '3'),
  'websocket-3-type-4': (to) => packets3(to, '4'),
  'websocket-3-type-5': (to) => packets3(to, '5'),
  'websocket-3-type-6': (to) => packets3(to, '6'),
  'websocket-3-type-7': (to) => packets3(to, '7'),
  'websocket-3-type-b': (to) => packets3(to, '451-1["echo",{"_placeholder":true,"num":0}]', 'b4AQID'),
  'websocket-3-empty': (to) => packets3(to, ''),

  // Frames.
  'websocket-echo': (to) => packets(to, '421["echo","✓😀\u2028"]'),
  'websocket-echo-3': (to) => packets3(to, '421["echo","✓😀\u2028"]'),
  'websocket-binary': (to) => packets(to, '42["doge"]'),
  'websocket-binary-3': (to) => packets3(to, '42["doge"]'),
  'websocket-binary-event': async (to) => {
    const session = await joined(to);
    await session.sendText('451-1["echo",{"_placeholder":true,"num":0}]');
    session.sendBinary(Buffer.from([1, 2, 3]));
    await session.settle();
  },
  'websocket-binary-event-3': async (to) => {
    const session = await joined(to, 'EIO=3');
    await session.sendText('451-1["echo",{"_placeholder":true,"num":0}]');
    session.sendBinary(Buffer.from([4, 1, 2, 3]));
    await session.settle();
  },
  'websocket-binary-empty': async (to) => {
    const session = await joined(to);
    await session.sendText('451-1["echo",{"_placeholder":true,"num":0}]');
    session.sendBinary(Buffer.alloc(0));
    await session.settle();
  },
  'websocket-binary-unannounced': async (to) => {
    const session = await joined(to);
    session.sendBinary(Buffer.from([1, 2, 3]));
    await session.settle();
  },
  'websocket-binary-type-3': async (to) => {
    const session = await joined(to, 'EIO=3');
    session.sendBinary(Buffer.from([0xff]));
    await session.settle();
  },
  'websocket-invalid-utf-8': async (to) => {
    const session = await joined(to);
    session.sendBytes(Buffer.concat([Buffer.from('421["echo","'), Buffer.from([0xff, 0xc3]), Buffer.from('"]')]));
    await session.settle();
  },
  'websocket-too-large': (to) => packets(to, `42["x","${'x'.repeat(1_000_001)}"]`),
  'websocket-largest': (to) => packets(to, `42["x","${'x'.repeat(1_000_000 - 10)}"]`),
  'websocket-fragments': async (to) => {
    const session = await joined(to);
    session.socket.send('42[', { fin: false });
    session.socket.ping('between');
    session.socket.send('"hi"]', { fin: true });
    await session.settle();
  },
  'websocket-ping': async (to) => {
    const session = await joined(to);
    session.socket.ping('here');
    await session.settle();
  },
  'websocket-unmasked': (to) => bytes(to, 0x81, 0x02, 0x34, 0x30),
  'websocket-reserved-opcode': (to) => bytes(to, 0x83, 0x80, 0, 0, 0, 0),
  'websocket-reserved-bit': (to) => bytes(to, 0xc1, 0x80, 0, 0, 0, 0),
  'websocket-long-ping': (to) => bytes(to, 0x89, 0xfe, 0x00, 0x7e, 0, 0, 0, 0, ...Array(126).fill(0)),
  'websocket-continuation-of-nothing': (to) => bytes(to, 0x80, 0x80, 0, 0, 0, 0),
  'websocket-close': async (to) => {
    const session = await joined(to);
    session.socket.close();
    await session.settle();
  },
  'websocket-close-1000': async (to) => {
    const session = await joined(to);
    session.socket.close(1000, 'done');
    await session.settle();
  },
  'websocket-close-4000': async (to) => {
    const session = await joined(to);
    session.socket.close(4000, 'done');
    await session.settle();
  },
  'websocket-close-bad-code': (to) => bytes(to, 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed),

  // Going over from polling.
  'upgrade-usual': async (to) => {
    const polling = await joinedByPolling(to);
    const poll = to.send('GET', polling.address);
    const frames = await to.webSocket('EIO=4', { sid: polling.sid });
    await probed(to, frames);
    const { status, body } = await poll;
    to.note(`poll ${status} ${body}`);
    await frames.sendText('5');
    await over(frames);
  },
  'upgrade-usual-3': async (to) => {
    const polling = await joinedByPolling(to, 'EIO=3');
    const poll = to.send('GET', polling.address);
    const frames = await to.webSocket('EIO=3', { sid: polling.sid });
    await probed(to, frames);
    const { status, body } = await poll;
    to.note(`poll ${status} ${body}`);
    await frames.sendText('5');
    await over(frames);
  },
  'upgrade-without-probe': async (to) => {
    const polling = await joinedByPolling(to);
    const frames = await to.webSocket('EIO=4', { sid: polling.sid });
    await frames.sendText('5');
    await over(frames);
  },
  'upgrade-probe-twice': async (to) => {
    const polling = await joinedByPolling(to);
    const frames = await to.webSocket('EIO=4', { sid: polling.sid });
    await probed(to, frames);
    await probed(to, frames);
    await frames.sendText('5');
    await over(frames);
  },
  'upgrade-ping-for-probe': (to) => brokenUpgrade(to, '2'),
  'upgrade-message-for-probe': (to) => brokenUpgrade(to, '42["hi"]'),
  'upgrade-message-after-probe': (to) => brokenUpgrade(to, '2probe', '42["hi"]'),
  'upgrade-pong-after-probe': (to) => brokenUpgrade(to, '2probe', '3'),
  'upgrade-empty-after-probe': (to) => brokenUpgrade(to, '2probe', ''),
  'upgrade-close-after-probe': (to) => brokenUpgrade(to, '2probe', '1'),
  'upgrade-cut': async (to) => {
    const polling = await joinedByPolling(to);
    const frames = await to.webSocket('EIO=4', { sid: polling.sid });
    await probed(to, frames);
    frames.socket.close();
    await frames.untilClosed();
    await polling.settle();
  },
  'upgrade-second-meanwhile': async (to) => {
    const polling = await joinedByPolling(to);
    const frames = await to.webSocket('EIO=4', { sid: polling.sid });
    await probed(to, frames);
    const second = await to.webSocket('EIO=4', { sid: polling.sid });
    await second.untilClosed();
    await frames.sendText('5');
    await over(frames);
  },
  'upgrade-second-later': async (to) => {
    const frames = await upgraded(to);
    const second = await to.webSocket('EIO=4', { sid: frames.sid });
    await second.untilClosed();
    await over(frames);
  },
  'upgrade-then-poll': async (to) => {
    const frames = await upgraded(to);
    await to.get(`EIO=4&transport=polling&sid=${frames.sid}`);
    await to.post(`EIO=4&transport=polling&sid=${frames.sid}`, '42["hi"]');
    await over(frames);
  },
  'upgrade-of-websocket': async (to) => {
    const frames = await to.webSocket();
    await frames.until(() => frames.packets.length > 0);
    const { sid } = JSON.parse(frames.packets[0].slice(1));
    const second = await to.webSocket('EIO=4', { sid });
    await second.untilClosed();
    await frames.settle();
  },
};

async function joined(to, query) {
  return (await to.webSocket(query)).join();
}

async function packets(to, ...all) {
  await (await joined(to)).exchange(...all);
}

async function packets3(to, ...all) {
  await (await joined(to, 'EIO=3')).exchange(...all);
}

async function bytes(to, ...all) {
  const session = await joined(to);
  session.sendRaw(...all);
  await session.untilClosed();
}

async function joinedByPolling(to, query) {
  return (await to.polling(query)).join();
}

async function probed(to, frames) {
  const before = frames.packets.length;
  await frames.sendText('2probe');
  await frames.collect((packets) => packets.length > before);
  if (frames.packets.at(-1) !== '3probe') to.note(`instead of an answer to the probe: ${frames.packets.at(-1)}`);
  frames.packets = [];
}

/** The session goes on over the WebSocket, in the namespace that it was in. */
async function over(frames) {
  frames.joined = true;
  await frames.settle();
}

async function upgraded(to) {
  const polling = await joinedByPolling(to);
  const frames = await to.webSocket('EIO=4', { sid: polling.sid });
  await probed(to, frames);
  await frames.sendText('5');
  frames.sid = polling.sid;
  await over(frames);
  to.lines = [];
  return frames;
}

/** What becomes of the WebSocket, and of the session that polls. */
async function brokenUpgrade(to, ...sent) {
  const polling = await joinedByPolling(to);
  const frames = await to.webSocket('EIO=4', { sid: polling.sid });
  for (const packet of sent) await frames.sendText(packet);
  await frames.untilClosed();
  await polling.settle();
}
