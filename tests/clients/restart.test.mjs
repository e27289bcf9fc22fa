// The process dies and comes back: every kind of client reconnects by itself, and nothing that was shown is gone.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { arrived, join, kinds, open } from './generations.mjs';
import { eventually, startServer } from './harness.mjs';
import { connected, handshake, send } from './wire.mjs';

/** Peers are closed before the server: what they would say to its end is not asked here. */
function endWith(t, server) {
  const peers = [];
  t.after(async () => {
    for (const peer of peers) peer.close();
    await server.stop();
  });
  return peers;
}

for (const [how, end] of [
  ['killed', (server) => server.kill9()],
  ['stopped in peace', (server) => server.stop()],
]) {
  test(`every kind reconnects after the server was ${how}, and sees what was said before`, async (t) => {
    const server = await startServer({ args: ['--history', '100'] });
    const peers = endWith(t, server);
    for (const kind of kinds) peers.push(open(kind, server.url, { reconnect: true }));
    await Promise.all(peers.map((peer) => arrived(peer)));
    for (const { kind, socket } of peers) socket.emit('message', `before: ${kind.name}`);
    for (const peer of peers) {
      await eventually('all is shown', () => peer.messages.length >= peers.length);
    }
    const shown = peers[0].messages.slice();

    await end(server);
    for (const { kind, socket } of peers) {
      await eventually(`${kind.name} notices`, () => !socket.connected);
    }
    for (const peer of peers) peer.messages.length = 0;
    await server.restart();
    await Promise.all(peers.map((peer) => arrived(peer)));
    for (const { kind, socket } of peers) socket.emit('message', `after: ${kind.name}`);

    for (const peer of peers) {
      const again = () => peer.messages.filter(({ text }) => text.startsWith('after: '));
      await eventually(`${peer.kind.name} hears all again`, () => again().length >= peers.length);
      const earlier = peer.messages.filter(({ text }) => text.startsWith('before: '));
      assert.deepEqual(earlier, shown, `what ${peer.kind.name} is told of the time before`);
    }
  });
}

test('every message that was acknowledged or shown before a kill is there after it, in order and once', async (t) => {
  const server = await startServer();
  const opened = endWith(t, server);
  const speakers = kinds.filter(({ way }) => way === 'websocket');
  const peers = await Promise.all(speakers.map((kind) => join(kind, server.url)));
  const posters = await Promise.all(speakers.map((kind) => join(kind, server.url, { namespace: '/chat' })));
  opened.push(...peers, ...posters);
  for (const poster of posters) {
    await poster.request('hello', { name: `poster ${poster.kind.generation}` });
    await poster.request('join', { room: 'kept' });
  }

  const acknowledged = [];
  let said = 0;
  let going = true;
  const speaking = (async () => {
    while (going) {
      for (const { kind, socket } of peers) socket.emit('message', `${kind.name} ${said++}`);
      for (const { kind, socket } of posters) {
        const text = `${kind.name} ${said++}`;
        socket.emit('post', { room: 'kept', text }, (answer) => answer.ok && acknowledged.push({ id: answer.id, text }));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  await eventually('a thousand are acknowledged', () => acknowledged.length >= 1000);
  await server.kill9();
  going = false;
  await speaking;
  const shown = peers.map(({ messages }) => messages.slice()).reduce((a, b) => (a.length >= b.length ? a : b));
  const shownInRoom = posters.map(({ messages }) => messages.slice()).reduce((a, b) => (a.length >= b.length ? a : b));

  await server.restart();
  const lobby = await join(speakers.at(-1), server.url, { query: `after=${shown[0].id}` });
  const room = await join(speakers.at(-1), server.url, { namespace: '/chat' });
  opened.push(lobby, room);
  await room.request('hello', { name: 'reader' });
  const { reset } = await room.request('join', { room: 'kept', after: shownInRoom[0].id });
  assert.equal(reset, false);

  await eventually('all that was shown', () => lobby.messages.length >= shown.length - 1);
  assert.deepEqual(lobby.messages.slice(0, shown.length - 1), shown.slice(1));

  await eventually('all that was shown in the room', () => room.messages.length >= shownInRoom.length - 1);
  // An acknowledgement may have been ahead of what was shown.
  const told = () => new Set([shownInRoom[0], ...room.messages].map(({ id }) => id));
  await eventually('all that was acknowledged', () => {
    const ids = told();
    return acknowledged.every(({ id }) => ids.has(id));
  });
  assert.deepEqual(room.messages.slice(0, shownInRoom.length - 1), shownInRoom.slice(1));
  const kept = new Map([shownInRoom[0], ...room.messages].map(({ id, text }) => [id, text]));
  assert.equal(kept.size, room.messages.length + 1, 'no message is there twice');
  for (const { id, text } of acknowledged) assert.equal(kept.get(id), text, `acknowledged as ${id}`);
});

for (const [what, leave] of [
  ['never connected', handshake],
  ['sent garbage', async (server) => send(server, 'POST', `EIO=4&transport=polling&sid=${await handshake(server)}`, { body: 'abc' })],
  ['posted too much', async (server) => send(server, 'POST', `EIO=4&transport=polling&sid=${await handshake(server)}`, { body: 'x'.repeat(200_000) })],
  ['went away without a word', async (server) => (await connected(server)).close()],
]) {
  test(`a session that ${what} does not hold up the end of the server`, async (t) => {
    // Minutes, if it waited for anybody at all: `stop` does not wait so long.
    const server = await startServer({ args: ['--drain-timeout', '5m', '--stall-timeout', '5m', '--ping-timeout', '5m'] });
    t.after(() => server.stop());
    await leave(server);
    await server.stop();
  });
}
