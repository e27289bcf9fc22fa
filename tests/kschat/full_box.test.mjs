// Who opens a full box answers each message with two packets. They are no flood: all of it is shown, once, and the connection
// stays, though its own packets may come very slowly.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually, freshFolder, startServer } from '../clients/harness.mjs';
import { startOptions, visit } from './visitor.mjs';

const WAITING = 1_000;
/** Messages that are on their way to somebody unacknowledged, at most. */
const UNDER_WAY = 32;
const texts = Array.from({ length: WAITING }, (_, n) => `message ${n}`);

/** A server that lets each client send ten packets a second, and somebody's box in it, filled without that limit. */
async function fullBox(t) {
  const data = freshFolder();
  const filling = await startServer({ ...startOptions, data });
  const here = await visit(t, filling.url, 'ann');
  await Promise.all(texts.map((text) => here.say('bob', text)));
  here.close();
  await filling.stop();
  const args = ['--event-rate', '10', '--flood-timeout', '1s'];
  const server = await startServer({ ...startOptions, data, limited: true, args });
  t.after(() => server.stop());
  return server;
}

test('a full box is shown to a page that answers each message twice, and its connection stays', async (t) => {
  const server = await fullBox(t);
  const there = await visit(t, server.url, 'bob', { marks: true });
  await there.heard(WAITING);
  assert.deepEqual(there.texts(), texts);
  const here = await visit(t, server.url, 'ann');
  await here.say('bob', 'the end');
  await there.heard(WAITING + 1);
  assert.equal(there.socket.connected, true);
  assert.doesNotMatch(server.log(), /ending a session/);
  await eventually('the end is recorded as read', () => here.receipts.length > 0);
});

test('a page that is loaded again in the middle of a full box is shown what it had not acknowledged, once', async (t) => {
  const server = await fullBox(t);
  const acknowledged = WAITING / 2;
  const before = await visit(t, server.url, 'bob', { marks: true, answers: acknowledged });
  // More comes only for what was acknowledged, so by then all of that has arrived.
  await before.heard(acknowledged + UNDER_WAY);
  before.close();
  const after = await visit(t, server.url, 'bob', { marks: true });
  await after.heard(WAITING - acknowledged);
  const here = await visit(t, server.url, 'ann');
  await here.say('bob', 'the end');
  await after.heard(WAITING - acknowledged + 1);
  assert.deepEqual(before.texts(), texts.slice(0, acknowledged + UNDER_WAY));
  assert.deepEqual(after.texts(), [...texts.slice(acknowledged), 'the end']);
  assert.equal(after.socket.connected, true);
  assert.doesNotMatch(server.log(), /flooding/);
});
