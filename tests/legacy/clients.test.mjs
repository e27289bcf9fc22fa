// The client library of the oldest pages, from npm: it chats with later generations in one room, in every release
// and over every way it can travel, and finds the server again.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { join as joinLater, kinds as laterKinds } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { join, kinds } from './clients.mjs';

const BEYOND_ASCII = ['✓😀', 'é', 'てすと', 'Я Ä ß', 'שלום', '👩‍👩‍👧‍👦', 'line\u2028end', 'a\nb "c" \\ :1+::', '\ufffd5\ufffd3:::x'];
const later = (generation) => laterKinds.find(({ name }) => name === `${generation} over websocket`);

describe('in one room', () => {
  let server;
  before(async () => (server = await startServer()));
  after(() => server.stop());

  for (const kind of kinds) {
    test(`${kind.name} chats with 1.7 and 4.8, beyond ASCII too, in one order`, async (t) => {
      const others = await Promise.all(['1.7.4', '4.8'].map((generation) => joinLater(later(generation), server.url)));
      t.after(() => others.forEach((peer) => peer.close()));
      const peer = await join(t, kind, server.url);
      const everybody = [peer, ...others];
      const said = [];
      for (const [i, text] of BEYOND_ASCII.entries()) {
        said.push(`${kind.name} ${i} ${text}`);
        everybody[i % everybody.length].socket.emit('message', said.at(-1));
        for (const each of everybody) await eventually(`${each.kind.name} is told`, () => each.texts().includes(said.at(-1)));
      }
      for (const each of everybody) {
        assert.deepEqual(each.texts().filter((text) => text.startsWith(`${kind.name} `)), said, each.kind.name);
      }
    });

    test(`${kind.name} gets answers to its events and receipts for its messages`, async (t) => {
      const peer = await join(t, kind, server.url);
      const text = `${kind.name} asks`;
      const id = await peer.request('message', text);
      const told = await eventually('it is told', () => peer.messages.find((message) => message.text === text));
      assert.equal(told.id, id);
      const receipt = await new Promise((resolve) => peer.socket.send(`${kind.name} sends`, () => resolve('receipt')));
      assert.equal(receipt, 'receipt');
      await eventually('a message is said like an event', () => peer.texts().includes(`${kind.name} sends`));
    });

    test(`${kind.name} goes on after a JSON message that nobody wants`, async (t) => {
      const peer = await join(t, kind, server.url);
      await new Promise((resolve) => peer.socket.json.send({ not: ['a', 'text'] }, resolve));
      peer.socket.json.send(`${kind.name} as JSON`);
      await eventually('a JSON text is said', () => peer.texts().includes(`${kind.name} as JSON`));
    });

    test(`${kind.name} keeps the order of a burst`, async (t) => {
      const peer = await join(t, kind, server.url);
      const texts = Array.from({ length: 500 }, (_, i) => `${kind.name} burst ${i}`);
      for (const text of texts) peer.socket.emit('message', text);
      const own = () => peer.texts().filter((text) => text.startsWith(`${kind.name} burst`));
      await eventually('all is told', () => own().length >= texts.length);
      assert.deepEqual(own(), texts);
    });

    test(`${kind.name} joins a namespace, is told who types there, and leaves it`, async (t) => {
      const room = `room of ${kind.name}`;
      const other = await joinLater(later('4.8'), server.url, { namespace: '/chat' });
      t.after(() => other.close());
      const peer = await join(t, kind, server.url, { namespace: '/chat' });
      const people = [];
      other.socket.on('people', (change) => people.push(change));
      const typing = { peer: [], other: [] };
      peer.socket.on('typing', (told) => typing.peer.push(told));
      other.socket.on('typing', (told) => typing.other.push(told));
      // The one who watches is first: only who comes later is news to it.
      for (const [each, name] of [[other, 'New'], [peer, 'Old']]) {
        assert.equal((await each.request('hello', { name })).ok, true);
        assert.equal((await each.request('join', { room })).ok, true);
      }
      await other.request('typing', { room, on: true });
      await peer.request('typing', { room, on: true });
      await eventually('both are told of both', () => typing.peer.length === 2 && typing.other.length === 2);
      assert.deepEqual(typing.peer.map(({ name }) => name), ['New', 'Old']);
      assert.deepEqual(typing.other, typing.peer);
      const { ok, id } = await peer.request('post', { room, text: 'grüße ✓😀' });
      assert.equal(ok, true);
      for (const each of [peer, other]) {
        await eventually('the post is told', () => each.messages.some((message) => message.id === id && message.author === 'Old'));
      }
      await eventually('it is seen there', () => people.some(({ joined }) => joined.some(({ name }) => name === 'Old')));
      peer.socket.disconnect();
      await eventually('it is gone', () => people.some(({ left, total }) => left.length === 1 && total === 1));
    });
  }
});

test('every kind stays while heartbeats and empty polls come and go', async (t) => {
  const times = { 'heartbeat-interval': '1s', 'heartbeat-timeout': '2s', 'polling-duration': '1s', 'close-timeout': '2s' };
  const server = await startServer({ args: Object.entries(times).flatMap(([name, time]) => [`--legacy-${name}`, time]) });
  t.after(() => server.stop());
  const peers = await Promise.all(kinds.map((kind) => join(t, kind, server.url)));
  // Each a second after the other: three timeouts.
  await eventually('seven came to each', () => peers.every(({ signs }) => signs > 6));
  for (const { kind, socket } of peers) socket.emit('message', `${kind.name} is still here`);
  for (const peer of peers) {
    await eventually(`${peer.kind.name} is told`, () => peer.messages.length === kinds.length);
    assert.equal(peer.connections, 1, peer.kind.name);
    assert.deepEqual(peer.disconnects, [], peer.kind.name);
  }
});

for (const [how, end] of [['killed', (server) => server.kill9()], ['stopped in peace', (server) => server.stop()]]) {
  test(`every kind finds the server again after it was ${how}, and sees what was said before`, async (t) => {
    const server = await startServer();
    const peers = await Promise.all(kinds.map((kind) => join(t, kind, server.url, { reconnect: true })));
    const namespaced = await Promise.all(kinds.map((kind) => join(t, kind, server.url, { namespace: '/chat', reconnect: true })));
    // After the peers are closed: they would look for it, and cannot be told to stop.
    t.after(() => server.stop());
    peers[0].socket.emit('message', 'before');
    for (const peer of peers) await eventually('it is told', () => peer.texts().includes('before'));
    await end(server);
    for (const peer of peers) await eventually(`${peer.kind.name} notices`, () => !peer.isConnected());
    for (const peer of peers) peer.messages.length = 0;
    await server.restart();
    for (const peer of [...peers, ...namespaced]) {
      await eventually(`${peer.kind.name} is back`, () => peer.isConnected() && peer.connections > 1);
    }
    for (const peer of namespaced) assert.equal((await peer.request('hello', { name: 'Again' })).ok, true);
    for (const peer of peers) await eventually('the past is told', () => peer.texts().includes('before'));
    peers[0].socket.emit('message', 'after');
    for (const peer of peers) await eventually(`${peer.kind.name} goes on`, () => peer.texts().includes('after'));
  });
}

test('every kind that floods is sent away in words and stays away', async (t) => {
  const server = await startServer({ limited: true, args: ['--event-rate', '20', '--flood-timeout', '1s'] });
  t.after(() => server.stop());
  const peers = await Promise.all(kinds.map((kind) => join(t, kind, server.url, { reconnect: true })));
  await eventually('all are sent away', () => {
    for (const { socket } of peers) {
      for (let i = 0; i < 5; i += 1) socket.emit('anything', { any: 'thing' });
    }
    return peers.every(({ disconnects }) => disconnects.length > 0);
  });
  // Lines that clients can cause are bounded in number: the first is there, whoever it is about.
  assert.match(server.log(), /reason="flooding"/);
  // Had they looked for it again, they would be back before one that begins to look only now.
  const other = await join(t, kinds[0], server.url, { reconnect: true });
  await server.restart();
  await eventually('the other is back', () => other.connections > 1);
  other.close();
  for (const peer of peers) {
    assert.deepEqual(peer.disconnects, ['booted'], peer.kind.name);
    assert.equal(peer.connections, 1, peer.kind.name);
  }
});
