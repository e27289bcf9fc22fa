// Who is here, over all replicas: everybody is seen by everybody, wherever they are connected, and whoever was on a
// replica that died is gone soon. Clients of 0.9 and of 4.x, and the pages with a login.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { current, join as joinLater } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { startDatabase } from '../express/parts.mjs';
import { join as joinLegacy, kinds as legacyKinds } from '../legacy/clients.mjs';
import { newcomer, openPage } from '../legacy/logins.mjs';
import { startRedis, startReplicas } from './cluster.mjs';

const [polling] = legacyKinds.filter(({ release }) => release === '0.9.17');
const ROOM = 'a room of all';

let redis;
before(async () => (redis = await startRedis()));
after(() => redis?.stop());

async function start(t, count, on = redis, args = []) {
  const replicas = await startReplicas(count, on, ['--redis-prefix', `test-${process.hrtime.bigint()}`, ...args]);
  t.after(() => Promise.all(replicas.map((replica) => replica.stop())));
  return replicas;
}

/** Somebody in the room on one replica, who keeps account of who is there. */
async function enter(t, replica, name, { legacy = false } = {}) {
  const peer = legacy
    ? await joinLegacy(t, polling, replica.url, { namespace: '/chat' })
    : await joinLater(current, replica.url, { namespace: '/chat' });
  if (!legacy) t.after(() => peer.close());
  const there = new Map();
  const came = [];
  peer.typing = [];
  peer.socket.on('typing', (typing) => peer.typing.push(typing));
  peer.socket.on('people', (change) => {
    assert.equal(change.room, ROOM);
    for (const person of change.joined) {
      if (!there.has(person.id)) came.push(person.name);
      there.set(person.id, person.name);
    }
    for (const id of change.left) there.delete(id);
    peer.total = change.total;
  });
  peer.id = (await peer.request('hello', { name })).id;
  const joined = await peer.request('join', { room: ROOM });
  for (const { id, name: who } of joined.people) there.set(id, who);
  peer.total = joined.total;
  peer.names = () => [...there.values()].sort();
  peer.came = came;
  return peer;
}

const sees = (peer, names) =>
  eventually(`${names} are seen`, () => {
    if (String(peer.names()) === String(names) && peer.total === names.length) return true;
    throw new Error(`seen are ${peer.names()}, of ${peer.total}`);
  });

test('everybody is seen on every replica, and everybody who goes', async (t) => {
  const [one, other] = await start(t, 2);
  const ann = await enter(t, one, 'ann');
  const bob = await enter(t, other, 'bob', { legacy: true });
  const cyd = await enter(t, other, 'cyd');
  for (const peer of [ann, bob, cyd]) await sees(peer, ['ann', 'bob', 'cyd']);
  await ann.request('hello', { name: 'anna' });
  for (const peer of [ann, bob, cyd]) await sees(peer, ['anna', 'bob', 'cyd']);
  // Somebody who comes later is told of all with the answer.
  const dan = await enter(t, one, 'dan');
  assert.deepEqual(dan.names(), ['anna', 'bob', 'cyd', 'dan']);
  const { rooms } = await dan.request('rooms', {});
  assert.equal(rooms.find(({ room }) => room === ROOM).people, 4);
  bob.close();
  for (const peer of [ann, cyd, dan]) await sees(peer, ['anna', 'cyd', 'dan']);
  assert.deepEqual(ann.came.sort(), ['bob', 'cyd', 'dan'], 'nobody came twice');
});

test('typing is told on every replica, to old and new clients', async (t) => {
  const [one, other] = await start(t, 2);
  const ann = await enter(t, one, 'ann');
  const bob = await enter(t, other, 'bob', { legacy: true });
  await sees(ann, ['ann', 'bob']);
  await eventually('bob is told', async () => {
    await ann.request('typing', { room: ROOM, on: true });
    return bob.typing.some(({ id, name, on }) => id === ann.id && name === 'ann' && on);
  });
  await eventually('ann is told', async () => {
    await bob.request('typing', { room: ROOM, on: true });
    return ann.typing.some(({ id }) => id === bob.id);
  });
});

test('who was on a replica that was killed is gone within its lease', async (t) => {
  const [one, other] = await start(t, 2);
  const ann = await enter(t, one, 'ann');
  await enter(t, other, 'bob');
  await sees(ann, ['ann', 'bob']);
  await other.kill9();
  // Six seconds, and two until the directory is asked.
  await sees(ann, ['ann']);
  await other.restart();
  await enter(t, other, 'bob');
  await sees(ann, ['ann', 'bob']);
});

describe('when Redis fails', () => {
  test('those who are there stay, and who comes and goes meanwhile is seen when it is back', async (t) => {
    const own = await startRedis();
    const [one, other] = await start(t, 2, own);
    t.after(() => own.stop());
    const ann = await enter(t, one, 'ann');
    const bob = await enter(t, other, 'bob');
    const cyd = await enter(t, other, 'cyd');
    await sees(ann, ['ann', 'bob', 'cyd']);
    await own.kill9();
    cyd.close();
    await sees(bob, ['ann', 'bob']);
    await own.restart();
    await sees(ann, ['ann', 'bob']);
    assert.deepEqual(ann.came.sort(), ['bob', 'cyd'], 'nobody went and came');
  });

  test('all are known again though it forgot everything', async (t) => {
    const own = await startRedis();
    const [one, other] = await start(t, 2, own);
    t.after(() => own.stop());
    const ann = await enter(t, one, 'ann');
    const bob = await enter(t, other, 'bob');
    await sees(ann, ['ann', 'bob']);
    await own.command('FLUSHALL');
    await enter(t, other, 'cyd');
    await sees(ann, ['ann', 'bob', 'cyd']);
    await sees(bob, ['ann', 'bob', 'cyd']);
    const third = await enter(t, one, 'dan');
    assert.deepEqual(third.names(), ['ann', 'bob', 'cyd', 'dan']);
  });
});

test('pages with a login are told on every replica who joined and left, once for each page', async (t) => {
  const database = await startDatabase();
  const [one, other] = await start(t, 2, redis, ['--database', database.url, '--session-secret', 'a secret of all replicas']);
  t.after(() => database.stop());
  const ann = await openPage(t, polling, one, await newcomer(one, 'Ann'));
  const told = (page, what) => page.told.filter(({ name, message }) => name === 'Bob' && message === what).length;
  const bobs = await newcomer(other, 'Bob');
  const bob = await openPage(t, polling, other, bobs);
  const [joined, left] = [' joined the chat!', ' left the chat!'];
  for (const page of [ann, bob]) await eventually('Bob joined', () => told(page, joined) === 1);
  bob.socket.emit('left');
  for (const page of [ann, bob]) await eventually('Bob left', () => told(page, left) === 1);
  assert.deepEqual([told(ann, joined), told(ann, left)], [1, 1]);
  // Two more of one person, as on one server.
  const more = [await openPage(t, polling, other, bobs), await openPage(t, polling, one, bobs)];
  await eventually('both joined', () => told(ann, joined) === 3);
  more[1].socket.emit('left');
  await eventually('one of them left', () => told(ann, left) === 2);
  for (const page of more) await eventually('it is told so', () => told(page, left) === 1);
  assert.deepEqual([told(ann, joined), told(ann, left)], [3, 2]);
});

test('a Redis that takes each connection and drops it again is a Redis that is away', async (t) => {
  const to = new URL(redis.url);
  let dropped = 0;
  const proxy = net.createServer((client) => {
    const onward = net.connect(to.port, to.hostname);
    let isDoomed = false;
    client.on('data', (data) => {
      isDoomed ||= /SUBSCRIBE[^]*:presence/.test(data);
      onward.write(data);
    });
    onward.on('data', (data) => {
      client.write(data);
      if (isDoomed) {
        dropped += 1;
        client.end();
      }
    });
    for (const [end, other] of [[onward, client], [client, onward]]) end.on('error', () => {}).on('close', () => other.destroy());
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => proxy.close());
  const server = await startServer({ args: ['--redis', `redis://127.0.0.1:${proxy.address().port}`, '--redis-prefix', `test-${process.hrtime.bigint()}`] });
  t.after(() => server.stop());
  await eventually('it is dropped, and tries again', () => dropped > 2);
  await eventually('it says so', () => /redis is away.*presence of other replicas/.test(server.log()));
});
