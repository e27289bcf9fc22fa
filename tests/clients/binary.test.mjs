// Acknowledgements and binary data both ways, on the bare transport: against the events that the public client
// suites expect, as the example `conformance` offers them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { join, kinds, request } from './generations.mjs';
import { eventually, startConformance } from './harness.mjs';

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

let url;
let conformance;
before(async () => {
  conformance = await startConformance();
  url = conformance.clients;
});
after(() => conformance.stop());

const once = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));

for (const kind of kinds) {
  const connected = async (t) => {
    const { socket, close } = await join(kind, url);
    t.after(close);
    return socket;
  };

  test(`${kind.name} has its events acknowledged, in the order of its asking`, async (t) => {
    const socket = await connected(t);
    const values = ['text', '✓😀', 0, -1.5, true, false, null, [], [1, ['two', { three: 3 }]], { a: { b: ['c'] } }];
    const answers = [];
    values.forEach((value, i) => socket.emit('echo', value, (answer) => answers.push([i, answer])));
    await eventually('all answers', () => answers.length >= values.length);
    assert.deepEqual(answers, [...values.entries()]);
  });

  test(`${kind.name} acknowledges what the server asks`, async (t) => {
    const socket = await connected(t);
    socket.on('ack', (answer) => answer(5, { test: true }));
    const gotIt = once(socket, 'got it');
    socket.emit('ack');
    await gotIt;
  });

  test(`${kind.name} sends and receives binary data of any size and depth`, async (t) => {
    const socket = await connected(t);
    const values = [
      EVERY_BYTE,
      Buffer.alloc(0),
      Buffer.alloc(50_000, EVERY_BYTE),
      { deep: [{ data: EVERY_BYTE, text: '✓😀' }, 'text', [Buffer.from('second'), Buffer.from('third')]] },
    ];
    for (const value of values) assert.deepEqual(await request(socket, 'echo', value), value);
  });

  test(`${kind.name} and the server tell binary data from text`, async (t) => {
    const socket = await connected(t);
    const [doge] = await Promise.all([once(socket, 'doge'), socket.emit('doge')]);
    assert.deepEqual(doge, [Buffer.from('asdfasdf')]);
    const taken = once(socket, 'takebin');
    socket.emit('getbin');
    assert.deepEqual(await taken, [Buffer.from('asdfasdf')]);
    const known = once(socket, 'buffack');
    socket.emit('buffa', Buffer.from('buff'));
    await known;
    const mixed = once(socket, 'jsonbuff-ack');
    socket.emit('jsonbuff', { hello: 'lol', message: Buffer.from('howdy'), goodbye: 'gotcha' });
    await mixed;
  });

  test(`binary data of ${kind.name} keeps its place among text`, async (t) => {
    const socket = await connected(t);
    const answers = [];
    const values = Array.from({ length: 40 }, (_, i) => (i % 2 ? Buffer.from([i]) : `text ${i}`));
    for (const value of values) socket.emit('echo', value, (answer) => answers.push(answer));
    await eventually('all answers', () => answers.length >= values.length);
    assert.deepEqual(answers, values);
  });

  test(`${kind.name} reads the server's text beyond ASCII`, async (t) => {
    const socket = await connected(t);
    const texts = [];
    socket.on('takeUtf8', (text) => texts.push(text));
    socket.emit('getUtf8');
    await eventually('all texts', () => texts.length >= 5);
    assert.deepEqual(texts, ['てすと', 'Я Б Г Д Ж Й', 'Ä ä Ü ü ß', 'utf8 — string', 'utf8 — string']);
  });
}
