// Logins that this server and Node processes share in one Redis: what one of them writes, the other reads and hands on.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { eventually, startServer } from '../clients/harness.mjs';
import { kinds } from '../legacy/clients.mjs';
import { openPage } from '../legacy/logins.mjs';
import { startRedis } from '../replicas/cluster.mjs';
import { Visitor, cli, newcomer, startDatabase, startNode, viewsWith } from './parts.mjs';

const SECRET = 'the secret that Node signs with';
const CART = [{ n: 1, empty: [] }];
const websocket = kinds.find(({ release, name }) => release === '0.9.17' && name.includes('websocket'));

let redis;
let database;
let ours;
before(async () => {
  [redis, database] = await Promise.all([startRedis(), startDatabase()]);
  ours = await startOurs();
});
after(async () => {
  await ours?.stop();
  await database?.stop();
  await redis?.stop();
});

/** A server of ours, whose page says `name/user`. */
function startOurs(secrets = [SECRET], more = []) {
  const args = ['--redis', redis.url, '--database', database.url, '--views', viewsWith('<%= name %>/<%= user %>'), '--legacy-transports', 'websocket'];
  return startServer({ args: [...args, ...secrets.flatMap((secret) => ['--session-secret', secret]), ...more] });
}

const page = async (visitor) => (await visitor.ask(ours, '/')).text;
const record = (visitor) => JSON.parse(cli(redis, 'get', `sess:${visitor.id}`) || 'null');
const left = (visitor) => Number(cli(redis, 'ttl', `sess:${visitor.id}`));

for (const generation of ['now', 'then']) {
  describe(`Node of ${generation}`, () => {
    let node;
    const over = [];
    before(async () => (node = await startNode({ after: (stop) => over.push(stop) }, generation, redis, { secrets: [SECRET] })));
    after(() => Promise.all(over.map((stop) => stop())));

    test('a login made there counts here, and there again under the id that it gets here, with all that was in it', async () => {
      const ann = new Visitor();
      await ann.json(node, '/login', { name: 'Ann', mail: 'ann@node.example' });
      assert.equal(await ann.json(node, '/visit'), 1);
      const first = ann.twin();
      assert.equal(await page(ann), 'Ann/');
      assert.notEqual(ann.id, first.id, 'it has another id now');
      assert.deepEqual(await ann.json(node, '/who'), { name: 'Ann', mail: 'ann@node.example', user: null, cart: CART, visits: 1 });
      assert.equal(await ann.json(node, '/visit'), 2);
      assert.equal(await page(ann), 'Ann/');
      assert.equal(await ann.json(node, '/visit'), 3);
      assert.deepEqual(record(ann).cart, CART);
      assert.equal(record(ann).pass, undefined, 'no password is written by us');
      // A tab that asked before it had the answer.
      const second = ann.twin();
      assert.equal(await page(ann), 'Ann/');
      assert.equal((await second.json(node, '/who')).name, 'Ann');
      assert.equal(await page(second), 'Ann/');
      assert.equal(second.id, ann.id);

      await ann.ask(ours, '/logout');
      assert.equal(ann.cookie, '');
      for (const former of [first, second]) {
        assert.equal((await former.twin().json(node, '/who')).name, null, 'it ended there too');
        assert.equal(await page(former), '/');
      }
    });

    test('a login made here counts there, and ends here when it ends there', async () => {
      const bob = await newcomer(ours, `Bob-${generation}`);
      const { name, mail, user } = await bob.json(node, '/who');
      assert.deepEqual({ name, mail, user }, { name: `Bob-${generation}`, mail: `bob-${generation}@mail.example`, user: null });
      assert.equal(await bob.json(node, '/visit'), 1);
      assert.equal(await page(bob), `Bob-${generation}/`);
      assert.equal(await bob.json(node, '/visit'), 2);
      const thief = bob.twin();
      await bob.ask(node, '/logout');
      assert.equal(await page(thief), '/');
    });

    test('a name given here counts there, and here under the id that Node gives it', async () => {
      const visitor = new Visitor();
      assert.deepEqual(await visitor.json(ours, '/user', { user: 'Rob' }), { error: '' });
      assert.equal((await visitor.json(node, '/who')).user, 'Rob');
      const before = visitor.twin();
      assert.equal(await visitor.json(node, '/again'), 'Rob');
      assert.notEqual(visitor.id, before.id);
      assert.equal(await page(visitor), '/Rob');
      assert.equal(await page(before), '/');
      // Node's own session of a visitor, who gives a name here.
      const other = new Visitor();
      assert.equal(await other.json(node, '/visit'), 1);
      await other.json(ours, '/user', { user: 'Zoe' });
      const { user, visits } = await other.json(node, '/who');
      assert.deepEqual({ user, visits }, { user: 'Zoe', visits: 1 });
    });

    test('a login lasts as long as Node wants it to, from each use on', async (t) => {
      const hour = await startNode(t, generation, redis, { secrets: [SECRET], maxAge: 3_600_000 });
      const ann = new Visitor();
      await ann.json(hour, '/login', { name: 'Ann', mail: 'ann@node.example' });
      cli(redis, 'expire', `sess:${ann.id}`, '500');
      assert.equal(await page(ann), 'Ann/');
      const { cookie } = record(ann);
      assert.equal(cookie.originalMaxAge > 3_590_000, true);
      const ends = Date.parse(cookie.expires) - Date.now();
      assert.ok(ends > 3_500_000 && ends <= 3_600_000, `${cookie.expires}`);
      assert.ok(left(ann) > 3500 && left(ann) <= 3600, `${left(ann)} s`);
      assert.equal(await ann.json(hour, '/visit'), 1);
      assert.ok(left(ann) > 3500 && left(ann) <= 3600, `${left(ann)} s`);
      // One of ours with an age of its own is Node's as well.
      const long = await startOurs([SECRET], ['--session-max-age', '30d']);
      t.after(() => long.stop());
      const bob = new Visitor();
      await bob.json(long, '/user', { user: 'Bob' });
      assert.equal((await bob.json(node, '/who')).user, 'Bob');
      assert.equal(await bob.json(node, '/visit'), 1);
      assert.ok(left(bob) > 29 * 86_400, `${left(bob)} s`);
    });
  });
}

test('secrets are replaced while both run, and nobody is logged out', async (t) => {
  const [old, fresh] = [SECRET, 'another that comes in its place'];
  const ann = new Visitor();
  const before = await startNode(t, 'now', redis, { secrets: [old] });
  await ann.json(before, '/login', { name: 'Ann', mail: 'ann@node.example' });
  const both = await startNode(t, 'now', redis, { secrets: [fresh, old] });
  const next = await startOurs([fresh, old]);
  t.after(() => next.stop());
  assert.equal((await ann.json(both, '/who')).name, 'Ann');
  assert.equal((await ann.ask(next, '/')).text, 'Ann/');
  assert.equal((await ann.json(both, '/who')).name, 'Ann', 'signed anew');
  const only = await startOurs([fresh]);
  t.after(() => only.stop());
  assert.equal((await ann.ask(only, '/')).text, 'Ann/');
});

test('sockets here end soon after a logout at Node, those of others stay', async (t) => {
  const node = await startNode(t, 'now', redis, { secrets: [SECRET] });
  const people = [];
  for (const name of ['Ann', 'Bob']) {
    const visitor = new Visitor();
    await visitor.json(node, '/login', { name, mail: `${name}@node.example` });
    const socket = await openPage(t, websocket, ours, visitor);
    assert.equal(await new Promise((resolve) => socket.socket.emit('joined', resolve)), name);
    people.push({ visitor, socket });
  }
  const [ann, bob] = people;
  await ann.visitor.ask(node, '/logout');
  await eventually('it is sent away', () => ann.socket.disconnects.length > 0, 60_000);
  assert.deepEqual(ann.socket.disconnects, ['booted']);
  assert.ok(bob.socket.isConnected());
  assert.equal((await bob.visitor.json(node, '/who')).name, 'Bob');
});
