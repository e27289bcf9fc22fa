// The events of one socket come back in the order they were sent, however many there are, on every kind of
// client, and while it changes from polling to WebSocket too.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { kinds, open } from './generations.mjs';
import { eventually, startServer } from './harness.mjs';

const EVENTS = 20_000;
// What old clients post at once over polling has to fit into one body of 100 KB.
const POLLED_AT_ONCE = 2_000;
const DEADLINE_MS = 60_000;

let server;
before(async () => (server = await startServer()));
after(() => server.stop());

for (const kind of kinds) {
  const atOnce = kind.way === 'websocket' ? EVENTS : POLLED_AT_ONCE;

  test(`${EVENTS} events of ${kind.name} come back in the order they were sent`, { timeout: DEADLINE_MS }, async (t) => {
    const own = [];
    const disconnects = [];
    const peer = open(kind, server.url, {
      prepare: (socket) => {
        socket.on('message', ({ text }) => text.startsWith(`${kind.name} #`) && own.push(text));
        socket.on('disconnect', (reason) => disconnects.push(reason));
      },
    });
    t.after(() => peer.close());
    await eventually('connection', () => peer.socket.connected);
    for (let sent = 0; sent < EVENTS; ) {
      const until = sent + atOnce;
      for (; sent < until; sent++) peer.socket.emit('message', `${kind.name} #${sent}`);
      await eventually(
        `${sent} events came back`,
        () => {
          if (disconnects.length) throw new Error(`disconnected after ${own.length} events: ${disconnects}`);
          return own.length >= sent;
        },
        DEADLINE_MS,
      );
    }
    assert.equal(own.length, EVENTS);
    const astray = own.findIndex((text, i) => text !== `${kind.name} #${i}`);
    assert.equal(astray, -1, `at ${astray} came ${own[astray]}`);
  });
}
