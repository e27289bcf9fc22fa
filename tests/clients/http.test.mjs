// The answers under the clients: status, type and body of what Node's socket.io says to requests that are wrong,
// in whole, because pages, proxies and public suites depend on them.

import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { eventually, startServer } from './harness.mjs';
import { handshake, send, upgrade } from './wire.mjs';

const TRANSPORT_UNKNOWN = { code: 0, message: 'Transport unknown' };
const SESSION_UNKNOWN = { code: 1, message: 'Session ID unknown' };
const BAD_METHOD = { code: 2, message: 'Bad handshake method' };
const BAD_REQUEST = { code: 3, message: 'Bad request' };

function refused(answer, error, what) {
  assert.equal(answer.status, 400, what);
  assert.equal(answer.headers['content-type'], 'application/json', what);
  assert.equal(answer.body, JSON.stringify(error), what);
}

describe('without other origins', () => {
  let server;
  before(async () => (server = await startServer()));
  after(() => server.stop());

  test('an unknown or missing transport is refused', async () => {
    for (const query of ['', 'EIO=4', 'EIO=4&transport=', 'EIO=4&transport=tobi', 'EIO=4&transport=constructor',
      'EIO=4&transport=__proto__', 'EIO=4&transport=Polling', 'EIO=4&transport=p%C3%B6lling', 'EIO=4&transport=%00',
      'EIO=4&transport=%F0%9F%98%80&sid=x', 'EIO=4&transport=%FF%FE', `EIO=4&transport=${'x'.repeat(4000)}`]) {
      refused(await send(server, 'GET', query), TRANSPORT_UNKNOWN, query.slice(0, 80));
    }
  });

  test('an unknown session id is refused, whatever is asked of it', async () => {
    for (const sid of ['test', '%E2%9C%93', '%00', '..%2f', 'AAAAAAAAAAAAAAAAAAAA', 'x'.repeat(4000)]) {
      for (const method of ['GET', 'POST']) {
        for (const eio of [3, 4]) {
          const query = `EIO=${eio}&transport=polling&sid=${sid}`;
          refused(await send(server, method, query, { body: method === 'POST' ? '40' : undefined }), SESSION_UNKNOWN, query);
        }
      }
    }
    refused(await send(server, 'GET', 'EIO=4&transport=websocket&sid=test'), SESSION_UNKNOWN);
  });

  test('a handshake is a GET', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      refused(await send(server, method, 'EIO=4&transport=polling'), BAD_METHOD, method);
    }
  });

  test('transport=websocket without an upgrade is a bad request', async () => {
    refused(await send(server, 'GET', 'EIO=4&transport=websocket'), BAD_REQUEST);
  });

  test('a missing or odd protocol version is taken for 3, and an empty session id for none', async () => {
    for (const eio of ['', 'EIO=&', 'EIO=5&', 'EIO=2&', 'EIO=0&', 'EIO=-4&', 'EIO=abc&', 'EIO=%E2%9C%93&', 'EIO=99999999999999999999&', 'EIO=3&sid=&']) {
      const answer = await send(server, 'GET', `${eio}transport=polling&b64=1`);
      assert.equal(answer.status, 200, eio);
      assert.match(answer.body, /^\d+:0{"sid"/, eio);
    }
    assert.match((await send(server, 'GET', 'EIO=4&transport=polling&sid=')).body, /^0{"sid"/);
  });

  test('a session is asked for in the protocol that it began with, which is 3 where none is named', async () => {
    for (const [eio, packet, same, others] of [[4, '2', ['EIO=4&'], ['', 'EIO=3&', 'EIO=5&']], [3, '1:2', ['EIO=3&', '', 'EIO=5&'], ['EIO=4&']]]) {
      const opened = await send(server, 'GET', `EIO=${eio}&transport=polling`);
      const { sid } = JSON.parse(/{[^}]*}/.exec(opened.body)[0]);
      const ping = (eio) => send(server, 'POST', `${eio}transport=polling&sid=${sid}`, { body: packet });
      for (const other of others) refused(await ping(other), BAD_REQUEST, `${other} in a session of ${eio}`);
      for (const each of same) assert.deepEqual((await ping(each)).status, 200, `${each} in a session of ${eio}`);
    }
  });

  test('a handshake tells the session and the ways to travel', async () => {
    for (const [eio, start] of [[4, /^0/], [3, /^\d+:0/]]) {
      const answer = await send(server, 'GET', `EIO=${eio}&transport=polling&b64=1`);
      assert.equal(answer.status, 200);
      assert.match(answer.headers['content-type'], /^text\/plain; charset=utf-8$/i);
      assert.match(answer.headers['cache-control'] ?? '', /no-store/);
      assert.match(answer.body, start);
      const told = JSON.parse(/{[^}]*}/.exec(answer.body)[0]);
      assert.ok(told.sid.length >= 16, 'a session id that cannot be guessed');
      assert.deepEqual(told.upgrades, ['websocket']);
      assert.equal(told.pingInterval, 25_000);
      assert.equal(told.pingTimeout, 20_000);
    }
  });

  test('no cookie is set and no other origin is let in unless it is asked for', async () => {
    for (const query of ['EIO=4&transport=polling', 'EIO=4&transport=tobi']) {
      const { headers } = await send(server, 'GET', query, { headers: { origin: 'http://a.example' } });
      assert.deepEqual(Object.keys(headers).filter((name) => /^(access-control|set-cookie)/.test(name)), []);
    }
  });

  test('a POST that is taken is answered with ok', async () => {
    const sid = await handshake(server);
    const answer = await send(server, 'POST', `EIO=4&transport=polling&sid=${sid}`, { body: '40' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'text/html');
    assert.equal(answer.body, 'ok');
  });

  test('a POST that is too large is refused without a word', async () => {
    const sid = await handshake(server);
    const answer = await send(server, 'POST', `EIO=4&transport=polling&sid=${sid}`, { body: `4${'x'.repeat(100_000)}` });
    assert.equal(answer.status, 413);
    assert.equal(answer.body, '');
  });

  test('a POST of garbage is taken, and ends the session', async () => {
    for (const body of ['abc', '9', '\u001e\u001e', '{"a":1}', '4'.repeat(3), 'b!!!!']) {
      const sid = await handshake(server);
      const query = `EIO=4&transport=polling&sid=${sid}`;
      const answer = await send(server, 'POST', query, { body });
      assert.deepEqual([answer.status, answer.headers['content-type'], answer.body], [200, 'text/html', 'ok'], body);
      await eventually(`the session that posted ${body} is over`, async () => {
        const { status, body } = await send(server, 'GET', query);
        return status === 400 && body === JSON.stringify(SESSION_UNKNOWN);
      });
    }
  });

  test('a POST of binary type has no place in version 4', async () => {
    const sid = await handshake(server);
    const headers = { 'content-type': 'application/octet-stream' };
    const { status } = await send(server, 'POST', `EIO=4&transport=polling&sid=${sid}`, { body: '40', headers });
    assert.equal(status, 400);
  });

  test('polls of a client that asks for the same each time are answered one after the other', async () => {
    const sid = await handshake(server);
    const session = `EIO=4&transport=polling&sid=${sid}`;
    await send(server, 'POST', session, { body: '40' });
    const poll = () => send(server, 'GET', `${session}&t=same`);
    assert.match((await poll()).body, /^40/);
    for (const text of ['one', 'two']) {
      await send(server, 'POST', session, { body: `42["message","${text}"]` });
      let told = '';
      while (!told.includes(`"text":"${text}"`)) told += (await poll()).body;
      assert.equal(told.split('"text":').length, 2, told);
    }
  });

  test('of two GETs at once one is refused, and the other ends', async () => {
    const sid = await handshake(server);
    const query = `EIO=4&transport=polling&sid=${sid}`;
    // Nothing is to be told before the client has joined a namespace: whichever comes first waits.
    const answers = await Promise.all([send(server, 'GET', query), send(server, 'GET', query)]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400]);
    await eventually('the session is over', async () => (await send(server, 'GET', query)).body === JSON.stringify(SESSION_UNKNOWN));
  });

  test('polling a session that travels over WebSocket is a bad request', async (t) => {
    const { sid, socket } = await upgrade(server);
    t.after(() => socket.terminate());
    for (const method of ['GET', 'POST']) {
      const answer = await send(server, method, `EIO=4&transport=polling&sid=${sid}`, { body: method === 'POST' ? '40' : undefined });
      refused(answer, BAD_REQUEST, method);
    }
    assert.equal(socket.readyState, socket.OPEN);
  });

  test('an upgrade that is wrong is refused before it happens, in plain words', async () => {
    for (const [query, message] of [
      ['EIO=4&transport=websocket&sid=nope', 'Session ID unknown'],
      ['EIO=3&transport=websocket&sid=nope', 'Session ID unknown'],
      ['EIO=4&transport=websocket&sid=%E2%9C%93', 'Session ID unknown'],
      ['EIO=4&transport=tobi', 'Transport unknown'],
      ['EIO=4', 'Transport unknown'],
    ]) {
      const answer = await tryUpgrade(server, query);
      assert.equal(answer.status, 400, query);
      assert.equal(answer.headers['content-type'], 'text/html', query);
      assert.equal(answer.body, message, query);
    }
  });

  test('the health of the server is an empty answer', async () => {
    const answer = await send(server, 'GET', '', { path: '/health' });
    assert.deepEqual([answer.status, answer.body], [200, '']);
  });
});

describe('what a poll brings', () => {
  let server;
  before(async () => (server = await startServer()));
  after(() => server.stop());

  test('a poll brings sixteen packets at most, and the next one the rest in their order', async () => {
    const sid = await handshake(server);
    const session = `EIO=4&transport=polling&sid=${sid}`;
    await send(server, 'POST', session, { body: '40' });
    assert.match((await send(server, 'GET', session)).body, /^40/);
    const said = Array.from({ length: 40 }, (_, n) => `number ${n}`);
    for (const text of said) await send(server, 'POST', session, { body: `42["message","${text}"]` });
    const told = [];
    while (!told.at(-1)?.includes('"number 39"')) {
      const packets = (await send(server, 'GET', session)).body.split('\u001e');
      assert.ok(packets.length <= 16, `${packets.length} packets at once`);
      told.push(...packets);
    }
    const texts = told.map((packet) => /"text":"(number \d+)"/.exec(packet)?.[1]).filter(Boolean);
    assert.deepEqual(texts, said);
  });

  test('clients that poll by scripts are answered with a call of their function, and send forms', async () => {
    const asked = (sid = '') => `EIO=3&transport=polling&j=7x&b64=1${sid && `&sid=${sid}`}`;
    const call = async (query) => {
      const answer = await send(server, 'GET', query);
      assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8');
      assert.equal(Number(answer.headers['content-length']), Buffer.byteLength(answer.body));
      const [, script] = /^___eio\[7\]\((".*")\);$/.exec(answer.body);
      return JSON.parse(script);
    };
    const { sid } = JSON.parse(/{[^}]*}/.exec(await call(asked()))[0]);
    const packet = '42["message","a\\nb \u2028"]';
    const form = `d=${encodeURIComponent(`${packet.length}:${packet}`.replaceAll('\\n', '\\\\n'))}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'user-agent': 'Mozilla/4.0 (compatible;MSIE 8.0)' };
    const answer = await send(server, 'POST', asked(sid), { body: form, headers });
    assert.deepEqual([answer.status, answer.body, answer.headers['x-xss-protection']], [200, 'ok', '0']);
    let told = '';
    while (!told.includes('"a\\nb \\u2028"')) told += await call(asked(sid));
  });

  test('answers to polls are compressed from 1 KB on where the client takes it', async () => {
    const sid = await handshake(server);
    const session = `EIO=4&transport=polling&sid=${sid}`;
    await send(server, 'POST', session, { body: '40' });
    assert.match((await send(server, 'GET', session)).body, /^40/);
    for (const [accepted, encoding] of [['gzip, deflate', 'gzip'], ['identity', undefined]]) {
      await send(server, 'POST', session, { body: `42["message","${'long '.repeat(300)}"]` });
      let body = '';
      while (!body.includes('long long')) {
        const answer = await fetchRaw(`${server.url}/socket.io/?${session}`, { 'accept-encoding': accepted });
        const gzip = answer.headers['content-encoding'] === 'gzip';
        body = (gzip ? gunzipSync(answer.body) : answer.body).toString();
        assert.equal(answer.headers['content-encoding'], body.length >= 1024 ? encoding : undefined);
      }
    }
  });
});

describe('with another origin allowed', () => {
  const origin = 'http://a.example';
  let server;
  before(async () => (server = await startServer({ args: ['--cors-origin', origin] })));
  after(() => server.stop());

  const letsIn = ({ headers }, what) => {
    assert.equal(headers['access-control-allow-origin'], origin, what);
    assert.equal(headers['access-control-allow-credentials'], 'true', what);
    assert.match(headers.vary ?? '', /\borigin\b/i, what);
  };

  test('its pages may read answers and errors alike', async () => {
    const headers = { origin };
    const sid = await handshake(server);
    for (const [method, query, body, status] of [
      ['GET', 'EIO=4&transport=polling', undefined, 200],
      ['GET', 'EIO=4&transport=tobi', undefined, 400],
      ['GET', 'EIO=4&transport=polling&sid=test', undefined, 400],
      ['POST', 'EIO=4&transport=polling', '40', 400],
      ['GET', 'EIO=4&transport=websocket', undefined, 400],
      ['GET', 'EIO=5&transport=polling', undefined, 200],
      ['POST', `EIO=4&transport=polling&sid=${sid}`, '40', 200],
      ['POST', `EIO=4&transport=polling&sid=${sid}`, 'x'.repeat(100_001), 413],
    ]) {
      const answer = await send(server, method, query, { headers, body });
      assert.equal(answer.status, status, query);
      letsIn(answer, query);
    }
    const script = await send(server, 'GET', '', { path: '/socket.io/socket.io.js', headers });
    assert.equal(script.status, 200);
    letsIn(script, 'the client library');
  });

  test('its preflight is answered', async () => {
    const answer = await send(server, 'OPTIONS', 'EIO=4&transport=polling', {
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
    assert.ok([200, 204].includes(answer.status), `status ${answer.status}`);
    letsIn(answer, 'preflight');
    assert.match(answer.headers['access-control-allow-methods'], /\bPOST\b/);
    assert.match(answer.headers['access-control-allow-headers'], /\bcontent-type\b/i);
  });

  test('a third one is not let in', async () => {
    for (const query of ['EIO=4&transport=polling', 'EIO=4&transport=tobi']) {
      const { headers } = await send(server, 'GET', query, { headers: { origin: 'http://evil.example' } });
      assert.ok([undefined, origin].includes(headers['access-control-allow-origin']), query);
    }
  });
});

/** An answer as it travels. */
function fetchRaw(address, headers) {
  return new Promise((resolve, reject) => {
    const request = http.get(address, { headers }, async (answer) => {
      const chunks = [];
      for await (const chunk of answer) chunks.push(chunk);
      resolve({ headers: answer.headers, body: Buffer.concat(chunks) });
    });
    request.on('error', reject);
  });
}

/** The answer to an upgrade that must not succeed. */
function tryUpgrade(server, query) {
  return new Promise((resolve, reject) => {
    const request = http.get(`${server.url}/socket.io/?${query}`, {
      agent: false,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      },
    });
    request.on('upgrade', (answer, socket) => {
      socket.destroy();
      resolve({ status: answer.statusCode, headers: answer.headers, body: '' });
    });
    request.on('response', async (answer) => {
      let body = '';
      for await (const chunk of answer.setEncoding('utf8')) body += chunk;
      resolve({ status: answer.statusCode, headers: answer.headers, body });
    });
    request.on('error', reject);
  });
}
