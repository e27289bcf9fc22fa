// What passes between replicas, seen request by request: who is passed on where, what is refused, and in whose words.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';

import { eventually, startServer } from '../clients/harness.mjs';
import { knowsAll, startRedis, startReplicas } from './cluster.mjs';

const WebSocket = createRequire(new URL('../clients/', import.meta.url))('ws');

const UNKNOWN = '{"code":1,"message":"Session ID unknown"}';
const SECRET = 'a secret of all replicas'.replaceAll(' ', '-');

let redis;
before(async () => (redis = await startRedis()));
after(() => redis?.stop());

async function start(t, count, args = []) {
  const replicas = await startReplicas(count, redis, ['--redis-prefix', `test-${t.name.length}-${process.hrtime.bigint()}`, ...args]);
  t.after(() => Promise.all(replicas.map((replica) => replica.stop())));
  return replicas;
}

const ready = async (url) => {
  const answer = await fetch(`${url}/ready`);
  return { status: answer.status, body: await answer.json() };
};
const inside = (replica) => /^listening for other replicas on (\S+)$/m.exec(replica.output())[1];
const engine = (replica, query) => `${replica.url}/socket.io/?EIO=4&transport=polling${query}`;

async function handshake(replica) {
  const answer = await fetch(engine(replica, ''));
  assert.equal(answer.status, 200);
  return { sid: JSON.parse((await answer.text()).slice(1)).sid, cookie: answer.headers.get('set-cookie') };
}

async function legacyHandshake(replica) {
  return (await (await fetch(`${replica.url}/socket.io/1/`)).text()).split(':')[0];
}

const overWebSocket = (replica, sid) => engine(replica, `&sid=${sid}`).replace('polling', 'websocket');

/** The status that a WebSocket is answered with. */
function upgradeStatus(address) {
  const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' };
  return new Promise((resolve, reject) => {
    const request = http.get(address, { headers });
    request.once('upgrade', (answer, socket) => (socket.destroy(), resolve(answer.statusCode)));
    request.once('response', (answer) => (answer.resume(), resolve(answer.statusCode)));
    request.once('error', reject);
  });
}

describe('a session of one replica', () => {
  test('is reached through the other one, as if it lived there', async (t) => {
    const [one, other] = await start(t, 2);
    const { sid } = await handshake(one);
    const posted = await fetch(engine(other, `&sid=${sid}`), { method: 'POST', body: '40' });
    assert.deepEqual([posted.status, await posted.text()], [200, 'ok']);
    const polled = await (await fetch(engine(other, `&sid=${sid}`))).text();
    assert.match(polled, /^40\{"sid":"/);
    const legacy = await legacyHandshake(one);
    assert.equal(await (await fetch(`${other.url}/socket.io/1/xhr-polling/${legacy}`)).text(), '1::');
  });

  test('is known by the replica in its id, and the affinity cookie says which', async (t) => {
    const [one] = await start(t, 1);
    const { sid, cookie } = await handshake(one);
    const { id } = (await ready(one.url)).body.replicas;
    assert.ok(sid.startsWith(id) && sid.length === 28, sid);
    assert.equal(cookie, `handshaken-replica=${id}; Path=/; HttpOnly; SameSite=Lax`);
    const [without] = await start(t, 1, ['--affinity-cookie', 'off']);
    assert.equal((await handshake(without)).cookie, null);
    const [behind] = await start(t, 1, ['--trusted-proxy', '127.0.0.1']);
    const byTls = await fetch(engine(behind, ''), { headers: { 'x-forwarded-proto': 'https' } });
    assert.match(byTls.headers.get('set-cookie'), /^handshaken-replica=.*; SameSite=Lax; Secure$/);
  });

  test('ends in words that every client knows when its replica was killed', async (t) => {
    const [one, other] = await start(t, 2);
    const [{ sid }, legacy] = [await handshake(one), await legacyHandshake(one)];
    await one.kill9();
    const polled = await fetch(engine(other, `&sid=${sid}`));
    assert.deepEqual([polled.status, await polled.text()], [400, UNKNOWN]);
    const posted = await fetch(engine(other, `&sid=${sid}`), { method: 'POST', body: '40' });
    assert.deepEqual([posted.status, await posted.text()], [400, UNKNOWN]);
    assert.equal(await (await fetch(`${other.url}/socket.io/1/xhr-polling/${legacy}`)).text(), '7:::1+0');
    await eventually('it is gone from the directory', async () => (await ready(other.url)).body.replicas.count === 1);
    await one.restart();
    await eventually('it is back under another id', async () => (await ready(other.url)).body.replicas.count === 2);
    assert.ok(!sid.startsWith((await ready(one.url)).body.replicas.id));
  });
});

test('whoever waits for a replica that was stopped is let go soon after its lease', async (t) => {
  const [one, other] = await start(t, 2);
  const [polling, posting, upgraded] = [await handshake(one), await handshake(one), await handshake(one)];
  await fetch(engine(other, `&sid=${polling.sid}`), { method: 'POST', body: '40' });
  assert.match(await (await fetch(engine(other, `&sid=${polling.sid}`))).text(), /^40/);
  const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' };
  const tunnel = await new Promise((resolve, reject) => {
    const request = http.get(engine(other, `&sid=${upgraded.sid}`).replace('polling', 'websocket'), { headers });
    request.once('upgrade', (answer, socket) => resolve(socket)).once('error', reject);
  });
  const closed = new Promise((resolve) => tunnel.once('close', resolve).on('error', () => {}).resume());
  process.kill(one.pid, 'SIGSTOP');
  try {
    const threads = `/proc/${one.pid}/task`;
    const isStopped = (thread) => /^State:\tT/m.test(readFileSync(`${threads}/${thread}/status`, 'utf8'));
    await eventually('all of it has stopped', () => readdirSync(threads).every(isStopped));
    const signal = AbortSignal.timeout(40_000);
    const asked = [fetch(engine(other, `&sid=${polling.sid}`), { signal }), fetch(engine(other, `&sid=${posting.sid}`), { method: 'POST', body: '40', signal })];
    for (const answer of await Promise.all(asked)) assert.deepEqual([answer.status, await answer.text()], [400, UNKNOWN]);
    await closed;
  } finally {
    process.kill(one.pid, 'SIGCONT');
  }
});

test('a poll whose answer was lost with the replica in between is answered again, and no other one is', async (t) => {
  const [owner, lost, other] = await start(t, 3);
  const legacy = await legacyHandshake(owner);
  const [{ sid }, xhr] = [await handshake(owner), `/socket.io/1/xhr-polling/${legacy}`];
  assert.equal((await fetch(engine(owner, `&sid=${sid}`), { method: 'POST', body: '40' })).status, 200);
  const kinds = [
    { at: (replica, asked) => engine(replica, `&sid=${sid}&t=${asked}`), say: (said) => [engine(owner, `&sid=${sid}`), `42["message","${said}"]`] },
    { at: (replica, asked) => `${replica.url}${xhr}?t=${asked}`, say: (said) => [owner.url + xhr, `5:::{"name":"message","args":["${said}"]}`] },
  ];
  for (const kind of kinds) {
    kind.poll = async (replica, asked) => (await fetch(kind.at(replica, asked))).text();
    kind.post = (said) => fetch(kind.say(said)[0], { method: 'POST', body: kind.say(said)[1] });
    await kind.poll(owner, 'first');
  }
  // Somebody who always asks for the same is told what is new, as long as all live.
  for (const [n, kind] of kinds.entries()) {
    for (const said of ['one', 'two']) {
      await kind.post(`${said} ${n}`);
      let told = '';
      while (!told.includes(`"${said} ${n}"`)) told += await kind.poll(lost, 'same');
      assert.ok(said === 'one' || !told.includes(`"one ${n}"`), told);
    }
  }
  await kinds[0].post('three');
  for (const kind of kinds) {
    while (!kind.told?.includes('"three"')) kind.told = await kind.poll(lost, (kind.asked = `t${process.hrtime.bigint()}`));
  }
  await lost.kill9();
  for (const kind of kinds) assert.equal(await kind.poll(other, kind.asked), kind.told);
  await kinds[0].post('four');
  for (const kind of kinds) {
    let next = '';
    while (!next.includes('"four"')) next += await kind.poll(other, `t${process.hrtime.bigint()}`);
    assert.ok(!next.includes('"three"'), next);
  }
});

test('a replica that the others cannot reach keeps those who reach it', async (t) => {
  const prefix = ['--redis-prefix', `test-${process.hrtime.bigint()}`];
  // Where it says that it is, nobody listens.
  const lost = await startServer({ args: ['--redis', redis.url, '--cluster-listen', '127.0.0.1:0', '--advertise', '127.0.0.1:1', ...prefix] });
  t.after(() => lost.stop());
  const other = await startServer({ args: ['--redis', redis.url, '--cluster-listen', '127.0.0.1:0', ...prefix] });
  t.after(() => other.stop());
  for (const replica of [lost, other]) await knowsAll(replica, 2);
  const [{ sid }, legacy] = [await handshake(lost), await legacyHandshake(lost)];
  const refused = await fetch(engine(other, `&sid=${sid}`));
  assert.deepEqual([refused.status, await refused.text()], [400, UNKNOWN]);
  assert.equal(await (await fetch(`${other.url}/socket.io/1/xhr-polling/${legacy}`)).text(), '7:::1+0');
  assert.equal((await fetch(engine(lost, `&sid=${sid}`), { method: 'POST', body: '40' })).status, 200);
  assert.match(await (await fetch(engine(lost, `&sid=${sid}`))).text(), /^40/);
  // The other way it is reached.
  const there = await handshake(other);
  assert.equal((await fetch(engine(lost, `&sid=${there.sid}`), { method: 'POST', body: '40' })).status, 200);
});

test('ids that were never given out are unknown sessions', async (t) => {
  const [one] = await start(t, 2);
  const own = (await ready(one.url)).body.replicas.id;
  for (const sid of [`${own}0123456789abcdef`, 'AAAAAAAA0123456789abcdef', 'AAAAAAAA', 'x', 'A'.repeat(10_000), '127.0.0.1:1', '..%2f..', '%00']) {
    const answer = await fetch(engine(one, `&sid=${sid}`));
    assert.deepEqual([answer.status, await answer.text()], [400, UNKNOWN], sid.slice(0, 30));
  }
  for (const sid of [`${own}01234567890123456789`, 'AAAAAAAA01234567890123456789', 'A'.repeat(10_000)]) {
    const answer = await fetch(`${one.url}/socket.io/1/xhr-polling/${sid}`);
    assert.deepEqual([answer.status, await answer.text()], [200, '7:::1+0'], sid.slice(0, 30));
  }
  assert.equal((await ready(one.url)).status, 200);
});

test('an upgrade for an unknown session is refused before it is made', async (t) => {
  const [one] = await start(t, 2);
  assert.equal(await upgradeStatus(overWebSocket(one, 'AAAAAAAA0123456789abcdef')), 400);
});

describe('the listener for other replicas', () => {
  test('lets nobody in without the secret of all', async (t) => {
    const [one, other] = await start(t, 2, ['--cluster-secret', SECRET]);
    const { sid } = await handshake(one);
    assert.equal((await fetch(engine(other, `&sid=${sid}`), { method: 'POST', body: '40' })).status, 200);
    const address = engine({ url: inside(one) }, `&sid=${sid}`);
    for (const headers of [{}, { 'handshaken-secret': 'none' }, { 'handshaken-secret': `${SECRET}x` }]) {
      assert.equal((await fetch(address, { headers })).status, 403, JSON.stringify(headers));
    }
    assert.equal((await fetch(`${inside(one)}/health`, { headers: { 'handshaken-secret': SECRET } })).status, 404);
    assert.ok(!`${one.log()}${other.log()}`.includes(SECRET));
  });

  test('has room for those whose sessions are there, however many clients there are', async (t) => {
    const args = ['--redis', redis.url, '--cluster-listen', '127.0.0.1:0', '--redis-prefix', `test-${process.hrtime.bigint()}`];
    const one = await startServer({ args: [...args, '--max-connections', '3'] });
    t.after(() => one.stop());
    const other = await startServer({ args });
    t.after(() => other.stop());
    await knowsAll(other, 2);
    const { sid } = await handshake(one);
    const crowd = Array.from({ length: 3 }, () => net.connect(one.port, '127.0.0.1'));
    t.after(() => crowd.forEach((client) => client.destroy()));
    await eventually('it is full', async () => (await fetch(one.url, { headers: { connection: 'close' } })).status === 503);
    const posted = await fetch(engine(other, `&sid=${sid}`), { method: 'POST', body: '40' });
    assert.deepEqual([posted.status, await posted.text()], [200, 'ok']);
  });

  test('says once in a while whom it refused, with how many it did not mention', async (t) => {
    const [one] = await start(t, 1, ['--cluster-secret', SECRET]);
    let refused = 0;
    const knock = async () => {
      assert.equal((await fetch(engine({ url: inside(one) }, ''))).status, 403);
      refused += 1;
    };
    const told = () => [...one.log().matchAll(/unsaid_before=(\d+)/g)].map(([, before]) => Number(before));
    for (let n = 0; n < 50; n += 1) await knock();
    await eventually('it is told again', async () => {
      if (told().length < 2) await knock();
      return told().length === 2;
    }, 40_000);
    assert.deepEqual(told(), [0, refused - 2]);
    assert.match(one.log(), /refused a request on the internal listener.*127\.0\.0\.1/);
  });

  test('passes nothing further on', async (t) => {
    const [one, other] = await start(t, 2, ['--cluster-secret', SECRET]);
    const { sid } = await handshake(one);
    const answer = await fetch(engine({ url: inside(other) }, `&sid=${sid}`), { headers: { 'handshaken-secret': SECRET } });
    assert.deepEqual([answer.status, await answer.text()], [400, UNKNOWN]);
  });
});

test('a session that began through another replica is its client\'s, whatever that says of itself', async (t) => {
  const [one, other] = await start(t, 2, ['--cluster-secret', SECRET, '--drain-delay', '10s', '--drain-timeout', '20s']);
  const stopped = one.stop();
  await eventually('new sessions begin elsewhere', async () => (await ready(one.url)).status === 503);
  const headers = { 'handshaken-secret': 'forged', 'handshaken-client': '192.0.2.1:1' };
  const opened = await new Promise((resolve, reject) => {
    http.get(engine(one, ''), { headers, localAddress: '127.0.0.2' }, resolve).once('error', reject);
  });
  const { sid } = JSON.parse((await text(opened)).slice(1));
  // Binary is nothing that a poll of this protocol may bring, so the session ends with a log line.
  await fetch(engine(other, `&sid=${sid}`), { method: 'POST', body: 'x', headers: { 'content-type': 'application/octet-stream' } });
  await eventually('it ends for what it sent', () => other.log().includes('bad_packet'));
  assert.match(other.log(), /remote=127\.0\.0\.2/);
  assert.ok(!other.log().includes('192.0.2.1'));
  await stopped;
});

test('a replica that is told to stop says so, and has new sessions begin elsewhere', async (t) => {
  const [one, other] = await start(t, 2, ['--drain-delay', '10s', '--drain-timeout', '30s']);
  const stopped = one.stop();
  await eventually('it is not ready', async () => (await ready(one.url)).status === 503);
  const [{ id }] = [(await ready(other.url)).body.replicas];
  assert.ok((await handshake(one)).sid.startsWith(id));
  assert.ok((await legacyHandshake(one)).startsWith(id));
  // Whoever polls can do without a WebSocket, and should not be cut off on the way to it.
  const [{ sid }, legacy] = [await handshake(other), await legacyHandshake(other)];
  assert.equal(await upgradeStatus(overWebSocket(one, sid)), 503);
  assert.equal((await fetch(engine(one, `&sid=${sid}`), { method: 'POST', body: '40' })).status, 200);
  assert.equal(await upgradeStatus(`${one.url}/socket.io/1/websocket/${legacy}`), 101);
  await stopped;
  await eventually('it is gone from the directory', async () => (await ready(other.url)).body.replicas.count === 1);
});

test('a WebSocket that passes through a replica that stops is told so, after all that it said was passed on', async (t) => {
  const [one, other] = await start(t, 2);
  const { sid } = await handshake(one);
  await fetch(engine(one, `&sid=${sid}`), { method: 'POST', body: '40' });
  assert.match(await (await fetch(engine(one, `&sid=${sid}`))).text(), /^40/);
  const socket = new WebSocket(overWebSocket(other, sid).replace('http', 'ws'));
  const told = [];
  socket.on('message', (text) => told.push(String(text)));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'open');
  socket.send('2probe');
  await eventually('it is probed', () => told.includes('3probe'));
  socket.send('5');
  socket.send('42["message","first"]');
  await eventually('it has gone over', () => told.some((text) => text.includes('first')));
  // As soon as the close frame is there, before it is answered: no public event comes that early.
  socket._receiver.prependOnceListener('conclude', () => socket.send('42["message","last"]'));
  const stopped = other.stop();
  assert.equal(await closed, 1001);
  await stopped;
  const reader = await handshake(one);
  await fetch(engine(one, `&sid=${reader.sid}`), { method: 'POST', body: '40' });
  let read = '';
  await eventually('what was said last is kept', async () => (read += await (await fetch(engine(one, `&sid=${reader.sid}`))).text()).includes('"last"'));
});

test('a replica stops in peace whatever those do whose WebSockets pass through it', async (t) => {
  const [one, other] = await start(t, 2, ['--drain-timeout', '20s']);
  const upgrade = async (headers) => {
    const socket = net.connect({ port: other.port, allowHalfOpen: true });
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    socket.write(
      `GET /socket.io/1/websocket/${await legacyHandshake(one)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`,
    );
    const [answer] = await once(socket, 'data');
    assert.match(String(answer), /^HTTP\/1.1 101 /);
  };
  // Neither ever closes; the second one does not even begin.
  await upgrade('');
  await upgrade('Content-Length: 10\r\n');
  await other.stop();
});

test('settings that no cluster can work with are refused', async () => {
  for (const [args, reason] of [
    [['--cluster-listen', '127.0.0.1:0'], 'set --redis too'],
    [['--redis', redis.url, '--cluster-listen', '0.0.0.0:0', '--advertise', '127.0.0.1:1'], 'set --cluster-secret'],
    [['--redis', redis.url, '--advertise', '127.0.0.1:1'], 'no --cluster-listen'],
    [['--redis', redis.url, '--cluster-listen', '127.0.0.1:0', '--cluster-secret', 'hush-hush'], '--cluster-secret: not 16'],
  ]) {
    await assert.rejects(startServer({ args }), (error) => {
      assert.ok(error.message.includes(reason), error.message);
      assert.ok(!error.message.includes('hush-hush'), error.message);
      return true;
    });
  }
});
