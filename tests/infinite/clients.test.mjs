// Real WebSocket libraries as clients of the dialect `infinite`, among each other and beside Socket.IO.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { current, join as joinSocketIo } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { join, kinds } from './clients.mjs';

const TEXTS = ['plain', 'grüße ✓😀', '<b>&amp; "quoted"</b>', 'שלום てすと', 'line\nbreak\u2028\u0001', '{"msg":[]}'];

async function serve(t, args = []) {
  const server = await startServer({ args });
  t.after(() => server.stop());
  return server;
}

test('clients of every library hear each other, and a talk page of 4.8, in one order', async (t) => {
  const server = await serve(t);
  const peers = await Promise.all(kinds.map((kind) => join(t, kind, server.url)));
  const talk = await joinSocketIo(current, server.url);
  t.after(() => talk.close());
  for (const peer of peers) assert.deepEqual(peer.texts(), ['Start Chatting!']);

  const said = [];
  for (const text of TEXTS) {
    for (const [i, peer] of peers.entries()) {
      said.push(`${i} ${text}`);
      peer.say(kinds[i].name, `${i} ${text}`);
      await eventually('it is told to all', () => peers.every(({ lines }) => lines.length === said.length + 1));
    }
    said.push(`talk ${text}`);
    talk.socket.emit('message', `talk ${text}`);
    await eventually('it is told to all', () => peers.every(({ lines }) => lines.length === said.length + 1));
  }
  for (const peer of peers) {
    assert.deepEqual(peer.texts().slice(1), said);
    // The first line has the date of when each came.
    assert.deepEqual(peer.lines.slice(1), peers[0].lines.slice(1));
    assert.deepEqual(new Set(peer.arrays), new Set([1]));
  }
  const names = peers[0].lines.slice(1, 1 + kinds.length + 1).map(({ username }) => username);
  assert.deepEqual(names, [...kinds.map(({ name }) => name), '???']);
  await eventually('talk has all', () => talk.messages.length === said.length);
  assert.deepEqual(talk.texts(), said.map((text) => text.replaceAll('<', '&lt;')));

  const newcomers = await Promise.all(kinds.map((kind) => join(t, kind, server.url)));
  for (const newcomer of newcomers) {
    assert.deepEqual(newcomer.lines, peers[0].lines.slice(-25));
    assert.deepEqual(newcomer.arrays, [25]);
  }
});

for (const kind of kinds) {
  test(`${kind.name} answers pings, stays, and is told why a server goes`, async (t) => {
    const server = await serve(t, ['--ping-interval', '1s', '--ping-timeout', '3s']);
    const peer = await join(t, kind, server.url);
    // Somebody who came later has been there for longer than silence may last.
    const later = await join(t, kinds[0], server.url);
    await eventually('that one was pinged for seconds', () => later.pings > 5);
    assert.equal(peer.closed, undefined);
    peer.say('Ann', 'still here');
    await eventually('it is heard', () => peer.texts().includes('still here'));
    await server.stop();
    await eventually('it is told', () => peer.closed);
    assert.deepEqual(peer.closed, { code: 1001, reason: 'the server is being restarted' });
    assert.equal(peer.texts().at(-1), 'Disconnected: the server is being restarted');
  });
}

for (const kind of kinds.slice(0, 3)) {
  test(`${kind.name} is told why it is cut off`, async (t) => {
    const server = await serve(t, ['--max-message', '2000']);
    const watching = await join(t, kind, server.url);
    const binary = { code: 1003, reason: 'a message was binary, not text' };
    const large = { code: 1009, reason: 'a message was larger than the limit' };
    for (const [send, told] of [
      [(socket) => socket.send(Buffer.from('{"username":"Ann","msg":"hi"}')), binary],
      [(socket) => socket.send('x'.repeat(2_001)), large],
      [(socket) => { socket.send('x'.repeat(1_500), { fin: false }); socket.send('x'.repeat(1_500)); }, large],
    ]) {
      const peer = await join(t, kind, server.url);
      send(peer.socket);
      await eventually('it is cut off', () => peer.closed);
      assert.deepEqual(peer.closed, told);
    }
    watching.say('Ann', 'unharmed');
    await eventually('it is heard', () => watching.texts().includes('unharmed'));
  });

  test(`${kind.name} may send in fragments, ping and close as it likes`, async (t) => {
    const server = await serve(t);
    const peer = await join(t, kind, server.url);
    const [first, second, third] = ['{"username":"Ann",', '"msg":"in ', 'parts"}'];
    let pongs = 0;
    peer.socket.on('pong', () => (pongs += 1));
    peer.socket.send(first, { fin: false });
    peer.socket.ping('between');
    peer.socket.send(second, { fin: false });
    peer.socket.send(third);
    await eventually('it is heard', () => peer.texts().includes('in parts') && pongs === 1);
    assert.equal(peer.socket.extensions, '');
    peer.socket.close(4_000, 'enough');
    await eventually('it is closed', () => peer.closed);
    assert.deepEqual(peer.closed, { code: 4_000, reason: 'enough' });
  });
}
