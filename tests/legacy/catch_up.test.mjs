// The addition to the 0.9 library, where that library has two connections at once: it does not close one that took too
// long, and reads from both when that one comes about after all.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { current, join as joinLater } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { join, kinds } from './clients.mjs';

const library = createRequire(import.meta.url)('socket.io-client-0.9.17');
const addition = readFileSync(new URL('../../src/transport/web/library/catch-up.js', import.meta.url), 'utf8');

// How often each message reached the library, whichever connection brought it.
const arrived = new Map();
const { onPacket } = library.Transport.prototype;
library.Transport.prototype.onPacket = function (packet) {
  const text = packet.args?.[0]?.text;
  if (text) arrived.set(text, (arrived.get(text) ?? 0) + 1);
  return onPacket.call(this, packet);
};
new Function('window', addition)({ io: library });

for (const kind of kinds.filter(({ release }) => release === '0.9.17')) {
  test(`${kind.name}: a page that has two connections shows nothing twice, and misses nothing`, async (t) => {
    const server = await startServer();
    const speaker = await joinLater(current, server.url);
    t.after(() => speaker.close());
    const peer = await join(t, kind, server.url, { reconnect: true });
    t.after(() => server.stop());
    await speaker.request('message', `${kind.name} begins`);
    await eventually('it is told', () => peer.messages.length === 1);
    // As after the connect timeout.
    const { socket } = peer.socket;
    Object.assign(socket, { connected: false, connecting: false });
    socket.connect();
    await eventually('the other connection is there', () => peer.connections === 2);
    const texts = Array.from({ length: 20 }, (_, n) => `${kind.name} ${n}`);
    for (const text of texts) await speaker.request('message', text);
    await eventually('both connections have brought all', () => texts.every((text) => arrived.get(text) === 2));
    assert.deepEqual(peer.texts(), [`${kind.name} begins`, ...texts]);
  });
}
