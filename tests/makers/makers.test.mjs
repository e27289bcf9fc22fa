// Clients that others have made, against the real server: they connect, send and receive, have their messages acknowledged, and
// come back when the server was stopped or killed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { eventually, startServer } from '../clients/harness.mjs';
import { kinds, open } from './makers.mjs';

const ENDS = [
  ['stopped', (server) => server.stop()],
  ['killed', (server) => server.kill9()],
];

describe('clients of other makers', { concurrency: 4 }, () => {
  for (const kind of kinds) {
    test(`${kind.name} sends, receives and is acknowledged`, async (t) => {
      const server = await startServer();
      t.after(() => server.stop());
      const [one, other] = [open(t, kind, server.url), open(t, kind, server.url)];
      await Promise.all([one.connected(1), other.connected(1)]);
      assert.equal(one.told('connect')[0], kind.transport);
      one.send(kind.text);
      await one.received(kind.text);
      await other.received(kind.text);
      await eventually('the sender is acknowledged', () => one.told('ack').length === 1);
      assert.match(String(one.told('ack')[0]), /^\d+-/, 'the id of the message');
      assert.equal(other.told('ack').length, 0);
    });

    test(`${kind.name} is told a long history, whole and in its order`, async (t) => {
      const server = await startServer({ args: ['--history', '40'] });
      t.after(() => server.stop());
      const texts = Array.from({ length: 40 }, (_, number) => `message ${number}`);
      const sender = open(t, kind, server.url);
      await sender.connected(1);
      for (const text of texts) sender.send(text);
      await eventually('all are acknowledged', () => sender.told('ack').length === texts.length);
      const newcomer = open(t, kind, server.url);
      await eventually('the newcomer is told all', () => newcomer.told('message').length >= texts.length);
      const told = newcomer.told('message');
      if (kind.keepsOrder) assert.deepEqual(told, texts);
      else assert.deepEqual(new Set(told), new Set(texts));
    });

    for (const [how, end] of kind.comesBack ? ENDS : []) {
      test(`${kind.name} comes back after the server was ${how}`, async (t) => {
        const server = await startServer();
        t.after(() => server.stop());
        const client = open(t, kind, server.url);
        await client.connected(1);
        client.send('before');
        await client.received('before');
        await end(server);
        await server.restart();
        await client.connected(2);
        client.send('after');
        await client.received('after');
      });
    }
  }
});
