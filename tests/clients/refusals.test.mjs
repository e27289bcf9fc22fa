// Whoever asks for an answer gets one, also where nothing was done: in talk's words an object with the reason, where a
// message's id would be.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { current, join, kinds } from './generations.mjs';
import { startServer } from './harness.mjs';

let server;
before(async () => (server = await startServer({ args: ['--max-message', '2000'] })));
after(() => server.stop());

/** What is no message, and why. */
const REFUSED = [
  ['message', '', 'text is empty'],
  ['message', ' \n', 'text is empty'],
  ['message', 'x'.repeat(1_600), 'text is longer than 1500 bytes'],
  ['message', 7, 'text is not a string'],
  ['message', null, 'text is not a string'],
  ['message', { text: 'x' }, 'text is not a string'],
  ['message', undefined, 'text is not a string'],
  ['something else', 'x', 'no such event'],
];

for (const kind of kinds) {
  test(`${kind.name}: what is refused is answered with the reason, and what is taken with its id`, async (t) => {
    const peer = await join(kind, server.url);
    t.after(() => peer.close());
    for (const [event, payload, error] of REFUSED) assert.deepEqual(await peer.request(event, payload), { error }, `${event} ${payload}`);
    assert.match(await peer.request('message', 'taken'), /^\d+-/);
  });
}

test('our own words answer every event, whatever is wrong with it', async (t) => {
  const peer = await join(current, server.url, { namespace: '/chat' });
  t.after(() => peer.close());
  await peer.request('hello', { name: 'Ann' });
  await peer.request('join', { room: 'lobby' });
  const events = ['hello', 'join', 'leave', 'post', 'direct', 'conversations', 'conversation', 'read', 'history', 'typing', 'something else'];
  const payloads = [undefined, null, 7, 'x', [], { room: {}, name: {}, text: 1, on: 1 }, { room: 'x'.repeat(1_600) }];
  for (const event of events) {
    for (const payload of payloads) {
      const answer = await peer.request(event, payload);
      assert.equal(answer.ok, false, `${event} ${JSON.stringify(payload)?.slice(0, 40)}`);
      assert.equal(typeof answer.error.message, 'string');
    }
  }
});
