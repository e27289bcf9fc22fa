// Events that ask the client for an answer: every generation's own callbacks, and what no client library would
// send. A dialect made for this (examples/conformance) asks, and tells what came of it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { join as joinOld, kinds as oldKinds } from '../legacy/clients.mjs';
import { current, join, kinds } from './generations.mjs';
import { eventually, startConformance } from './harness.mjs';
import { connected, send } from './wire.mjs';

/** As many answers of one peer are waited for at once. */
const MOST = 64;

let server;
before(async () => {
  const { asking, log, stop } = await startConformance({ env: { RUST_LOG: 'info' } });
  server = { url: asking, log, stop };
});
after(() => server.stop());

// What the dialect was answered, in the order in which it came.
function told(socket) {
  const all = [];
  socket.on('answered', (what) => all.push(what));
  return all;
}

const byNumber = (answers) => answers.toSorted((a, b) => a.number - b.number);

async function answersInItsWay(socket, name) {
  const answers = told(socket);
  const questions = [];
  socket.on('question', ({ number, text }, answer) => questions.push({ number, text, answer }));
  socket.emit('ask', { count: 3 });
  await eventually(`${name} is asked`, () => questions.length === 3);
  const [first, second, third] = questions;
  third.answer();
  first.answer('✓😀', { b: [1, 'é', '\ud83d'] });
  second.answer(null);
  second.answer('again');
  await eventually('all is answered', () => answers.length === 3);
  assert.deepEqual(byNumber(answers), [
    // Half of a surrogate pair is made whole on the way, by whoever gets it first.
    { number: 0, args: ['✓😀', { b: [1, 'é', '\ufffd'] }] },
    { number: 1, args: [null] },
    { number: 2, args: [] },
  ]);
  assert.deepEqual(questions.map(({ text }) => text), ['é😀', 'é😀', 'é😀']);
}

for (const kind of kinds) {
  test(`${kind.name} answers what it is asked`, async (t) => {
    const peer = await join(kind, server.url);
    t.after(() => peer.close());
    await answersInItsWay(peer.socket, kind.name);
  });
}

for (const kind of oldKinds) {
  test(`${kind.name} answers what it is asked`, async (t) => {
    const peer = await joinOld(t, kind, server.url);
    await answersInItsWay(peer.socket, kind.name);
  });
}

const old = oldKinds.find(({ name }) => name === '0.9.17 over websocket');
const everyTransport = [
  { name: current.name, open: async (t) => (await opened(t, join(current, server.url))).socket },
  { name: old.name, open: async (t) => (await joinOld(t, old, server.url)).socket },
];

async function opened(t, joining) {
  const peer = await joining;
  t.after(() => peer.close());
  return peer;
}

for (const { name, open } of everyTransport) {
  test(`${name} is asked more than may wait: it hears all, the rest counts as unanswered`, async (t) => {
    const socket = await open(t);
    const answers = told(socket);
    const questions = [];
    socket.on('question', ({ number }, answer) => questions.push({ number, answer }));
    socket.emit('ask', { count: MOST + 6 });
    await eventually('it hears all', () => questions.length === MOST + 6);
    await eventually('some are given up', () => answers.length === 6);
    const rest = Array.from({ length: 6 }, (_, i) => ({ number: MOST + i, why: 'TooMany' }));
    assert.deepEqual(byNumber(answers), rest);

    // An answer to one that was given up is nothing; each of the others makes room for one more.
    for (const { answer } of questions.toReversed()) answer('late');
    await eventually('the others are answered', () => answers.length === MOST + 6);
    assert.ok(answers.slice(6).every(({ number, args }) => number < MOST && args[0] === 'late'));
    socket.emit('ask', { count: 1 });
    await eventually('it is asked again', () => questions.length === MOST + 7);
    questions.at(-1).answer('in time');
    await eventually('and answers', () => answers.at(-1).args?.[0] === 'in time');
  });

  test(`${name} goes without answering: that is known at once`, async (t) => {
    const socket = await open(t);
    let asked = 0;
    const before = gone();
    socket.on('question', () => (asked += 1));
    socket.emit('ask', { count: 5 });
    await eventually('it is asked', () => asked === 5);
    socket.disconnect();
    await eventually('all five are given up', () => gone() === before + 5);
  });
}

const gone = () => server.log().match(/"why":"Gone"/g)?.length ?? 0;

// The same over both wires: how a packet begins, how an event is told apart, how an answer is written.
const later = {
  name: 'a later client',
  async open(t) {
    const wire = await connected(server);
    t.after(wire.close);
    return wire;
  },
  ask: (count) => `42["ask",{"count":${count}}]`,
  asked: /^42(\d+)\["question"/,
  answer: (id, args) => `43${id}${args}`,
  event: /^42(\["answered".*)$/s,
  answered: ([, event]) => JSON.parse(event)[1],
  elsewhere: { join: '40/other,', joined: /^40\/other,/, answer: (id, args) => `43/other,${id}${args}` },
};
const older = {
  name: 'an old client',
  async open(t) {
    const { body } = await send(server, 'GET', '', { path: '/socket.io/1/' });
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/1/websocket/${body.split(':')[0]}`);
    t.after(() => socket.terminate());
    const frames = [];
    socket.on('message', (data) => frames.push(data.toString()));
    await eventually('it is connected', () => frames.includes('1::'));
    return { frames, send: (data) => socket.send(data), isOpen: () => socket.readyState === WebSocket.OPEN };
  },
  ask: (count) => `5:::{"name":"ask","args":[{"count":${count}}]}`,
  asked: /^5:(\d+)\+::\{"name":"question"/,
  answer: (id, args) => `6:::${id}+${args}`,
  event: /^5:::(\{"name":"answered".*)$/s,
  answered: ([, event]) => JSON.parse(event).args[0],
  elsewhere: { join: '1::/other', joined: /^1::\/other/, answer: (id, args) => `6::/other:${id}+${args}` },
};

for (const wire of [later, older]) {
  describe(`by hand, ${wire.name}`, () => {
    const ids = (peer) => peer.frames.map((frame) => wire.asked.exec(frame)?.[1]).filter(Boolean);
    const answers = (peer) => peer.frames.map((frame) => wire.event.exec(frame)).filter(Boolean).map(wire.answered);

    async function asked(t, count) {
      const peer = await wire.open(t);
      peer.send(wire.ask(count));
      await eventually('it is asked', () => ids(peer).length === count);
      return peer;
    }

    test('answers to nothing, twice, from elsewhere and of another peer count for nothing', async (t) => {
      const [peer, other] = [await asked(t, 2), await asked(t, 1)];
      const [first, second] = ids(peer);
      peer.send(wire.elsewhere.join);
      await eventually('it is in the other namespace', () => peer.frames.some((frame) => wire.elsewhere.joined.test(frame)));
      for (const id of ['999', '0', '9223372036854775807', '007']) peer.send(wire.answer(id, '["nothing"]'));
      peer.send(wire.elsewhere.answer(first, '["elsewhere"]'));
      peer.send(wire.answer(first, '["once"]'));
      peer.send(wire.answer(first, '["twice"]'));
      await eventually('the first is answered', () => answers(peer).length === 1);
      other.send(wire.answer(second, '["of another"]'));
      other.send(wire.answer(ids(other)[0], '["its own"]'));
      await eventually('the other answers', () => answers(other).length === 1);
      peer.send(wire.answer(second, '["at last"]'));
      await eventually('the second is answered', () => answers(peer).length === 2);
      assert.deepEqual(answers(peer), [
        { number: 0, args: ['once'] },
        { number: 1, args: ['at last'] },
      ]);
      assert.deepEqual(answers(other), [{ number: 0, args: ['its own'] }]);
    });

    test('an answer that cannot be read harms its sender alone', async (t) => {
      const healthy = await asked(t, 1);
      for (const rubbish of ['[', '[1', '{"a":1}', '[1] 2', `[${'['.repeat(50_000)}${']'.repeat(50_000)}]`, '[\u0000]']) {
        const peer = await asked(t, 1);
        peer.send(wire.answer(ids(peer)[0], rubbish));
        // A later client is sent away for it; to an old one it is nothing, as all bad packets were.
        if (wire === older) peer.send(wire.answer(ids(peer)[0], '["after all"]'));
        await eventually(`${rubbish.slice(0, 20)} has an end`, () => answers(peer).length === 1 || !peer.isOpen());
      }
      healthy.send(wire.answer(ids(healthy)[0], '["well"]'));
      await eventually('the healthy one is heard', () => answers(healthy).length === 1);
      assert.deepEqual(answers(healthy), [{ number: 0, args: ['well'] }]);
    });

    test('an answer to what no number can name harms its sender alone', async (t) => {
      const [peer, healthy] = [await asked(t, 1), await asked(t, 1)];
      peer.send(wire.answer('9'.repeat(30), '["nothing"]'));
      healthy.send(wire.answer(ids(healthy)[0], '["well"]'));
      await eventually('the healthy one is heard', () => answers(healthy).length === 1);
      assert.deepEqual(answers(peer), []);
    });

    test('an answer of more than a message may have ends the connection', async (t) => {
      const peer = await asked(t, 1);
      peer.send(wire.answer(ids(peer)[0], `["${'x'.repeat(1_000_001)}"]`));
      await eventually('it is sent away', () => !peer.isOpen());
    });
  });
}
