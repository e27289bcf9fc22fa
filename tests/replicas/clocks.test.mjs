// Replicas whose clocks are five minutes off, one before and one behind, beside a right one: what they share goes by the
// clock of Redis, and nobody but a token's bearer notices.

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { current, join } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { Visitor, cli, newcomer, startDatabase, startNode, viewsWith } from '../express/parts.mjs';
import { kinds as legacyKinds } from '../legacy/clients.mjs';
import { openPage } from '../legacy/logins.mjs';
import { SECRET as tokenSecret, inSeconds, token } from '../tokens/signing.mjs';
import { knowsAll, startRedis } from './cluster.mjs';

const MINUTE_MS = 60_000;
const OFF_MS = 5 * MINUTE_MS;
const CLOCKS = { right: 0, ahead: OFF_MS, behind: -OFF_MS };

/** Beyond the lease of a dead replica, and far below what the clocks differ by. */
const SOON_MS = 40_000;

/** A session's life, shorter than what the clocks differ by. */
const SESSION_S = 120;

const SESSION_SECRET = 'known to all replicas and to Node';

const websocket = legacyKinds.find(({ release, way }) => release === '0.9.17' && way === 'websocket');

/** Has a program see a wall clock that is so far off; timers go by another clock, which stays right. */
function clock(offMs) {
  if (offMs === 0) return {};
  return { LD_PRELOAD: fakeTime(), FAKETIME: `${offMs < 0 ? '-' : '+'}${Math.abs(offMs) / 1000}`, FAKETIME_DONT_FAKE_MONOTONIC: '1', NO_FAKE_STAT: '1' };
}

function fakeTime() {
  const libraries = readdirSync('/usr/lib').map((folder) => path.join('/usr/lib', folder, 'faketime/libfaketimeMT.so.1'));
  const found = libraries.find(existsSync);
  if (!found) throw new Error('libfaketime is missing: install it with apt-get install faketime');
  return found;
}

/** A replica with a clock that is so far off, as its answers show. */
async function startReplica(t, redis, offMs, args = []) {
  const shared = ['--redis', redis.url, '--cluster-listen', '127.0.0.1:0', ...args];
  const env = { ...clock(offMs), HANDSHAKEN_JWT_SECRET: tokenSecret };
  const replica = await startServer({ args: shared, env });
  t.after(() => replica.kill9());
  const shown = Date.parse((await fetch(`${replica.url}/health`)).headers.get('date')) - Date.now();
  assert.ok(Math.abs(shown - offMs) < MINUTE_MS, `its clock is ${shown} ms off`);
  return replica;
}

/** One with each clock. */
async function startThree(t, redis, args) {
  const started = Object.entries(CLOCKS).map(async ([name, offMs]) => [name, await startReplica(t, redis, offMs, args)]);
  const replicas = Object.fromEntries(await Promise.all(started));
  for (const replica of Object.values(replicas)) await knowsAll(replica, 3);
  return replicas;
}

async function redisFor(t) {
  const redis = await startRedis();
  t.after(() => redis.stop());
  return redis;
}

/** Has the one message of a room be said so long before. */
function makeOlder(redis, room, byMs) {
  const script = `local entry = redis.call('XRANGE', KEYS[1], '-', '+')[1]
    redis.call('DEL', KEYS[1])
    entry[2][2] = entry[2][2] - ARGV[1]
    return redis.call('XADD', KEYS[1], entry[1], unpack(entry[2]))`;
  assert.equal(cli(redis, 'eval', script, '1', `handshaken:room:${room}`, String(byMs)), '1-0');
}

/** Somebody in a room on a replica; `present` are the names of those who are there. */
async function enter(t, replica, name, room = 'a room of all') {
  const peer = await join(current, replica.url, { namespace: '/chat' });
  t.after(() => peer.close());
  const there = new Map();
  peer.socket.on('people', ({ joined, left }) => {
    for (const person of joined) there.set(person.id, person.name);
    for (const id of left) there.delete(id);
  });
  await peer.request('hello', { name });
  for (const person of (await peer.request('join', { room })).people) there.set(person.id, person.name);
  peer.present = () => [...there.values()].sort();
  return peer;
}

const sees = (peer, names) =>
  eventually(`${names} are seen`, () => {
    if (String(peer.present()) === String(names)) return true;
    throw new Error(`seen are ${peer.present()}`);
  }, SOON_MS);

const readiness = async (replica) => (await (await fetch(`${replica.url}/ready`)).json()).replicas;

test('nobody is taken for dead who lives, and whoever is killed is gone within the lease, with all who were there', async (t) => {
  const redis = await redisFor(t);
  const replicas = await startThree(t, redis);
  const people = {};
  for (const name of Object.keys(CLOCKS)) people[name] = await enter(t, replicas[name], name);
  for (const peer of Object.values(people)) await sees(peer, ['ahead', 'behind', 'right']);
  // Each renews its lease, again and again, and is known all the time.
  const renewals = new Map();
  await eventually('each has renewed its lease five times', async () => {
    const entries = cli(redis, 'hgetall', 'handshaken:members').split('\n');
    for (let i = 0; i < entries.length; i += 2) renewals.set(entries[i], (renewals.get(entries[i]) ?? new Set()).add(entries[i + 1].split(' ')[0]));
    for (const replica of Object.values(replicas)) {
      const { count, known } = await readiness(replica);
      assert.deepEqual([count, known], [3, true]);
    }
    for (const peer of Object.values(people)) assert.equal(peer.present().length, 3);
    assert.equal(renewals.size, 3);
    return [...renewals.values()].every((ends) => ends.size > 5);
  }, SOON_MS);

  for (const victim of ['ahead', 'behind', 'right']) {
    const others = Object.keys(CLOCKS).filter((name) => name !== victim).sort();
    await replicas[victim].kill9();
    for (const name of others) {
      await eventually(`${name} knows that ${victim} is gone`, async () => (await readiness(replicas[name])).count === 2, SOON_MS);
      await sees(people[name], others);
    }
    await replicas[victim].restart();
    for (const replica of Object.values(replicas)) await knowsAll(replica, 3);
    people[victim] = await enter(t, replicas[victim], victim);
    for (const peer of Object.values(people)) await sees(peer, ['ahead', 'behind', 'right']);
  }
});

test('all are told one order with one time, and a key makes one message of what is said on all at once', async (t) => {
  const redis = await redisFor(t);
  const replicas = await startThree(t, redis);
  const peers = [];
  for (const name of Object.keys(CLOCKS)) peers.push(await enter(t, replicas[name], name));
  const rounds = Array.from({ length: 40 }, (_, n) => n);
  for (const n of rounds) {
    const own = peers.map((peer, i) => peer.request('post', { room: 'a room of all', text: `${i} says ${n}` }));
    const same = peers.map((peer) => peer.request('post', { room: 'a room of all', text: `all say ${n}`, key: `key-${n}` }));
    for (const { ok } of await Promise.all(own)) assert.equal(ok, true);
    const ids = new Set((await Promise.all(same)).map(({ id }) => id));
    assert.equal(ids.size, 1, `the same key: ${[...ids]}`);
  }
  const told = (peer) => peer.messages.map(({ id, text, time }) => `${id} ${time} ${text}`);
  for (const peer of peers) await eventually('all is told', () => peer.messages.length === rounds.length * 4);
  for (const peer of peers) assert.deepEqual(told(peer), told(peers[0]));
  const times = peers[0].messages.map(({ time }) => Date.parse(time));
  assert.deepEqual(times, times.toSorted((a, b) => a - b), 'no time goes back');
  for (const time of times) assert.ok(Math.abs(time - Date.now()) < MINUTE_MS, 'it is the time of Redis');
});

// By its own clock the one would let go of what was just said, and the other keep what is old.
for (const [name, retain] of [['ahead', '4m'], ['behind', '6m']]) {
  test(`a replica that is ${name} lets go of what is old by the clock of Redis, and of nothing else`, async (t) => {
    const redis = await redisFor(t);
    const right = await startReplica(t, redis, 0, ['--retain', 'all']);
    const ann = await enter(t, right, 'ann');
    assert.equal((await ann.request('post', { room: 'a room of all', text: 'old' })).ok, true);
    makeOlder(redis, 'a room of all', 2 * OFF_MS);
    assert.equal((await ann.request('post', { room: 'a room of all', text: 'new' })).ok, true);
    const off = await startReplica(t, redis, CLOCKS[name], ['--retain', retain]);
    await eventually('what is old is gone', () => cli(redis, 'xlen', 'handshaken:room:a room of all') === '1', SOON_MS);
    const reader = await enter(t, off, 'bob');
    await eventually('the rest is told', () => reader.messages.length > 0);
    assert.deepEqual(reader.texts(), ['new']);
  });
}

test('what is written to somebody waits, comes once, and is acknowledged, whatever their replicas take the time for', async (t) => {
  const redis = await redisFor(t);
  const replicas = await startThree(t, redis);
  const visit = async (replica, user) => {
    const peer = await join(current, replica.url, { namespace: '/chat' });
    t.after(() => peer.close());
    peer.told = [];
    peer.delivered = [];
    peer.socket.on('direct', (message, acknowledge) => (peer.told.push(message.text), acknowledge?.()));
    peer.socket.on('delivered', ({ id }) => peer.delivered.push(id));
    assert.equal((await peer.request('hello', { name: user, token: token({ sub: user }) })).ok, true);
    return peer;
  };
  for (const [from, to] of [['ahead', 'behind'], ['behind', 'ahead'], ['right', 'ahead'], ['behind', 'right']]) {
    const [sender, recipient] = [`from-${from}`, `to-${to}-of-${from}`];
    const here = await visit(replicas[from], sender);
    const { ok, id } = await here.request('direct', { to: recipient, text: 'waits' });
    assert.equal(ok, true);
    const there = await visit(replicas[to], recipient);
    await eventually('it comes', () => there.told.length > 0);
    await eventually('its sender is told', () => here.delivered.includes(id), SOON_MS);
    const again = await visit(replicas[from], recipient);
    assert.equal((await here.request('direct', { to: recipient, text: 'new' })).ok, true);
    for (const peer of [there, again]) await eventually('the next one comes', () => peer.told.includes('new'));
    assert.deepEqual([there.told, again.told], [['waits', 'new'], ['new']]);
  }
});

test('a token ends by the clock of the replica that is shown it, and the log says that the clock is wrong', async (t) => {
  const redis = await redisFor(t);
  const replicas = await startThree(t, redis);
  const hello = async (replica, exp) => {
    const peer = await join(current, replica.url, { namespace: '/chat' });
    t.after(() => peer.close());
    return (await peer.request('hello', { name: 'ann', token: token({ sub: 'ann', exp }) })).ok;
  };
  const [lasting, short, over] = [3600, 120, -120].map(inSeconds);
  const taken = async (exp) => Promise.all(Object.values(replicas).map((replica) => hello(replica, exp)));
  assert.deepEqual(await taken(lasting), [true, true, true]);
  assert.deepEqual(await taken(short), [true, false, true]);
  assert.deepEqual(await taken(over), [false, false, true]);
  const said = (replica) => replica.log().match(/clock differs from that of Redis.*ahead_s=(-?\d+)/)?.[1];
  for (const name of ['ahead', 'behind']) {
    const seconds = Number(await eventually(`${name} says so`, () => said(replicas[name])));
    assert.ok(Math.abs(seconds * 1000 - CLOCKS[name]) < MINUTE_MS, `${name}: ${seconds} s`);
  }
  assert.equal(said(replicas.right), undefined);
});

describe('with logins', () => {
  let database;
  before(async () => (database = await startDatabase()));
  after(() => database?.stop());

  const withLogins = () => ['--database', database.url, '--session-secret', SESSION_SECRET];

  for (const generation of ['now', 'then']) {
    test(`a login that is shorter than the difference lasts as long everywhere, at Node of ${generation} too`, async (t) => {
      const redis = await redisFor(t);
      const views = viewsWith('<%= name %>');
      const replicas = await startThree(t, redis, [...withLogins(), '--session-max-age', `${SESSION_S}s`, '--views', views]);
      const node = await startNode(t, generation, redis, { secrets: [SESSION_SECRET], maxAge: SESSION_S * 1000 });
      const lasts = (visitor, where) => {
        const left = Number(cli(redis, 'ttl', `sess:${visitor.id}`));
        assert.ok(left > SESSION_S / 2 && left <= SESSION_S, `${where}: ${left} s are left`);
      };
      for (const [name, replica] of Object.entries(replicas)) {
        const login = `Ann-${name}-${generation}`;
        const ann = await newcomer(replica, login);
        lasts(ann, `begun where the clock is ${name}`);
        // Around and around: each writes it anew by its own clock.
        for (let round = 0; round < 2; round += 1) {
          for (const [where, each] of Object.entries(replicas)) {
            const { status, text } = await ann.ask(each, '/');
            assert.deepEqual([status, text], [200, login], where);
            lasts(ann, `used where the clock is ${where}`);
            assert.equal((await ann.json(node, '/who')).name, login, `Node, after ${where}`);
            assert.equal(await ann.json(node, '/visit') > 0, true);
            lasts(ann, `used by Node after ${where}`);
          }
        }
        await ann.twin().ask(replicas.right, '/logout');
        assert.equal((await ann.twin().json(node, '/who')).name, null);
      }
      const bob = new Visitor();
      await bob.json(node, '/login', { name: 'Bob', mail: 'bob@node.example' });
      for (const each of Object.values(replicas)) assert.equal((await bob.ask(each, '/')).text, 'Bob');
    });
  }

  test('an old page that comes back is told what was said in the last minute, wherever it comes to, and nothing older', async (t) => {
    const redis = await redisFor(t);
    const first = await startReplica(t, redis, 0, withLogins());
    const ann = await enter(t, first, 'ann', 'lobby');
    assert.equal((await ann.request('post', { room: 'lobby', text: 'old' })).ok, true);
    makeOlder(redis, 'lobby', 3 * MINUTE_MS);
    assert.equal((await ann.request('post', { room: 'lobby', text: 'new' })).ok, true);
    const login = await newcomer(first, `Rob-${Date.now()}`);
    // All of these are started after it was said.
    for (const offMs of Object.values(CLOCKS)) {
      const replica = await startReplica(t, redis, offMs, withLogins());
      const page = await openPage(t, websocket, replica, login, { silent: true });
      page.socket.send(`to ${replica.port}`);
      await eventually('its own is told', () => page.told.some(({ message }) => message === `to ${replica.port}`));
      const texts = page.told.map(({ message }) => message);
      assert.ok(texts.includes('new') && !texts.includes('old'), String(texts));
      page.close();
    }
  });
});
