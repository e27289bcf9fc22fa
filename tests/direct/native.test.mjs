// Direct messages in our own words, over every generation and way: what is sent, kept, acknowledged, read, listed,
// and what is refused.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { current, join, kinds } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { join as joinOld, kinds as oldKinds } from '../legacy/clients.mjs';
import { SECRET as key, token } from '../tokens/signing.mjs';

const env = { HANDSHAKEN_JWT_SECRET: key };

let server;
before(async () => {
  server = await startServer({ env });
});
after(() => server.stop());

let people = 0;
/** Two users whom nobody wrote to yet. */
const two = () => [`u${++people}`, `u${++people}`];

/** Notes what a peer is told; acknowledges unless told otherwise. */
function listen(peer, answers = true) {
  const told = { direct: [], delivered: [], read: [], asked: 0 };
  peer.socket.on('direct', (message, callback) => {
    told.direct.push(message);
    if (typeof callback !== 'function') return;
    told.asked += 1;
    if (answers) callback();
  });
  for (const event of ['delivered', 'read']) peer.socket.on(event, (mark) => told[event].push(mark));
  return told;
}

/** A user who is connected and has said hello. */
async function visit(t, user, { kind = current, url = server.url, answers } = {}) {
  const peer = await join(kind, url, { namespace: '/chat' });
  t.after(() => peer.close());
  return greet(peer, user, answers);
}

async function greet(peer, user, answers) {
  const told = listen(peer, answers);
  const hello = await peer.request('hello', { name: `name of ${user}`, token: token({ sub: user }) });
  assert.deepEqual([hello.ok, hello.user], [true, user], JSON.stringify(hello));
  return Object.assign(peer, {
    told,
    texts: () => told.direct.map(({ text }) => text),
    heard: (count) => eventually(`${user} hears ${count}`, () => told.direct.length >= count),
    async ask(event, payload) {
      const answer = await peer.request(event, payload);
      assert.equal(answer.ok, true, `${event}: ${JSON.stringify(answer)}`);
      return answer;
    },
    async refused(code, event, payload) {
      const answer = await peer.request(event, payload);
      assert.equal(answer.error?.code, code, `${event} ${JSON.stringify(payload)}: ${JSON.stringify(answer)}`);
      return answer.error;
    },
  });
}

const everyKind = [
  ...kinds.map((kind) => [kind.name, (t) => join(kind, server.url, { namespace: '/chat' })]),
  ...oldKinds.map((kind) => [kind.name, (t) => joinOld(t, kind, server.url, { namespace: '/chat' })]),
];

for (const [name, connect] of everyKind) {
  test(`${name}: what was written comes after hello, is acknowledged, and does not come again`, async (t) => {
    const [ann, bob] = two();
    const here = await visit(t, ann);
    const { id, time } = await here.ask('direct', { to: bob, text: 'waits' });
    const peer = await connect(t);
    t.after(() => peer.close?.());
    const there = await greet(peer, bob);
    await there.heard(1);
    const { replica, ...message } = there.told.direct[0];
    assert.deepEqual(message, { id, from: ann, to: bob, name: `name of ${ann}`, text: 'waits', time });
    assert.equal(typeof replica, 'string');
    await eventually('the sender is told', () => here.told.delivered.length === 1);
    assert.deepEqual(here.told.delivered[0], { with: bob, id });
    const again = await visit(t, bob);
    await there.ask('direct', { to: ann, text: 'answer' });
    await Promise.all([here.heard(2), there.heard(2), again.heard(1)]);
    assert.deepEqual(here.texts(), ['waits', 'answer']);
    assert.deepEqual(there.texts(), ['waits', 'answer']);
    assert.deepEqual(again.texts(), ['answer'], 'came again');
    assert.deepEqual([here.told.asked, there.told.asked, again.told.asked], [1, 1, 0]);
  });
}

test('what waits comes oldest first, before what is new, and a window at a time', async (t) => {
  const [ann, bob] = two();
  const here = await visit(t, ann);
  const texts = Array.from({ length: 70 }, (_, n) => `message ${n}`);
  for (const text of texts) await here.ask('direct', { to: bob, text });
  const mute = await visit(t, bob, { answers: false });
  await mute.heard(32);
  await here.ask('direct', { to: bob, text: 'new' });
  await here.heard(71);
  assert.deepEqual(mute.texts(), texts.slice(0, 32));
  const there = await visit(t, bob);
  await there.heard(71);
  assert.deepEqual(there.texts(), [...texts, 'new']);
});

test('the list tells of conversations and the page of one how it stands', async (t) => {
  const [ann, bob] = two();
  const cid = `${bob}c`;
  const [here, there] = [await visit(t, ann), await visit(t, bob, { answers: false })];
  const first = await here.ask('direct', { to: bob, text: 'one' });
  const long = await here.ask('direct', { to: bob, text: 'é'.repeat(500) });
  await there.heard(2);
  const { conversations } = await there.ask('conversations', {});
  assert.deepEqual(conversations.map(({ with: other, unread }) => [other, unread]), [[ann, 2]]);
  assert.equal(conversations[0].last.text, 'é'.repeat(100));
  assert.deepEqual((await here.ask('conversations', {})).conversations.map(({ unread }) => unread), [0]);

  const page = () => here.ask('conversation', { with: bob });
  let { messages, more, delivered, read } = await page();
  assert.deepEqual(messages.map(({ id }) => id), [first.id, long.id]);
  assert.deepEqual([more, delivered, read], [false, null, null]);
  const answering = await visit(t, bob);
  await answering.heard(2);
  await eventually('it is delivered', async () => (await page()).delivered === long.id);
  assert.equal((await there.ask('read', { with: ann, id: first.id })).unread, 1);
  assert.equal((await there.ask('read', { with: ann, id: long.id })).unread, 0);
  assert.equal((await there.ask('read', { with: ann, id: first.id })).unread, 0);
  await Promise.all(
    [here, there, answering].map((peer) => eventually('all are told', () => peer.told.read.length === 2)),
  );
  assert.deepEqual(here.told.read[1], { with: bob, by: bob, id: long.id });
  assert.deepEqual(answering.told.read[1], { with: ann, by: bob, id: long.id });
  assert.equal((await page()).read, long.id);

  ({ messages, more } = await there.ask('conversation', { with: ann, before: long.id, limit: 1 }));
  assert.deepEqual([messages.map(({ text }) => text), more], [['one'], false]);
  ({ messages, more } = await there.ask('conversation', { with: ann, limit: 1 }));
  assert.deepEqual([messages.length, more], [1, true]);
  ({ messages, delivered } = await here.ask('conversation', { with: cid }));
  assert.deepEqual([messages, delivered], [[], null]);
});

test('the same key is kept once, in every conversation its own', async (t) => {
  const [ann, bob] = two();
  const [here, there] = [await visit(t, ann), await visit(t, bob)];
  const sent = { to: bob, text: 'once', key: 'k1' };
  const [{ id }, again] = [await here.ask('direct', sent), await here.ask('direct', sent)];
  assert.equal(again.id, id);
  await here.ask('direct', { ...sent, to: ann });
  await here.ask('direct', { to: bob, text: 'the end' });
  await there.heard(2);
  assert.deepEqual(there.texts(), ['once', 'the end']);
});

test('a number is the same user as the string that reads like it', async (t) => {
  const [ann] = two();
  const [here, there] = [await visit(t, ann), await visit(t, '4711')];
  await here.ask('direct', { to: 4711, text: 'to a number' });
  await here.ask('direct', { to: '4711', text: 'to a string' });
  await there.heard(2);
  assert.deepEqual(there.told.direct.map(({ to }) => to), ['4711', '4711']);
});

test('a hello with another token ends the old identity and its messages', async (t) => {
  const [ann, bob] = two();
  const here = await visit(t, ann);
  const turncoat = await visit(t, bob);
  await turncoat.ask('hello', { name: 'other', token: token({ sub: `${bob}x` }) });
  await here.ask('direct', { to: bob, text: 'for the old one' });
  await here.ask('direct', { to: `${bob}x`, text: 'for the new one' });
  await turncoat.heard(1);
  assert.deepEqual(turncoat.texts(), ['for the new one']);
  const there = await visit(t, bob);
  await there.heard(1);
  assert.deepEqual(there.texts(), ['for the old one']);
});

test('people of a room carry the user they proved to be', async (t) => {
  const [ann] = two();
  const here = await visit(t, ann);
  const { people: present, id } = { ...(await here.ask('join', { room: ann })), ...(await here.ask('hello', { name: 'x' })) };
  assert.deepEqual(present, [{ id, name: `name of ${ann}`, user: ann }]);
});

test('rooms and conversations know nothing of each other', async (t) => {
  const [ann, bob] = two();
  const here = await visit(t, ann);
  const { id } = await here.ask('direct', { to: bob, text: 'private' });
  const { rooms } = await here.ask('rooms', {});
  assert.equal(rooms.some(({ room }) => room.includes(ann)), false, JSON.stringify(rooms));
  const name = `\u0001${ann}\u0001${bob}`;
  await here.refused('bad_room', 'join', { room: name });
  await here.refused('bad_room', 'history', { room: name, before: id });
  await here.refused('bad_room', 'post', { room: name, text: 'x' });
  const stranger = await visit(t, `${ann}s`);
  await stranger.refused('bad_request', 'read', { with: ann, id });
  assert.deepEqual((await stranger.ask('conversation', { with: ann })).messages, []);
});

test('what is wrong is answered in words and keeps nothing', async (t) => {
  const [ann, bob] = two();
  const nobody = await join(current, server.url, { namespace: '/chat' });
  t.after(() => nobody.close());
  const code = async (event, payload) => (await nobody.request(event, payload)).error.code;
  const requests = [
    ['direct', { to: bob, text: 'x' }],
    ['conversations', {}],
    ['conversation', { with: bob }],
    ['read', { with: bob, id: '1-00000000' }],
  ];
  for (const request of requests) assert.equal(await code(...request), 'hello_first');
  await nobody.request('hello', { name: 'nobody' });
  for (const request of requests) assert.equal(await code(...request), 'no_identity');

  const [here, there] = [await visit(t, ann), await visit(t, bob)];
  for (const to of [undefined, null, [], {}, true, 1.5]) await here.refused('bad_request', 'direct', { to, text: 'x' });
  for (const to of ['', 'x'.repeat(256), 'a\u0000', '\u202e']) await here.refused('bad_user', 'direct', { to, text: 'x' });
  for (const text of ['', ' \n']) await here.refused('empty', 'direct', { to: bob, text });
  await here.refused('too_long', 'direct', { to: bob, text: 'x'.repeat(99_550) });
  await here.refused('bad_request', 'direct', { to: bob, text: 'x', key: 'ä' });
  for (const more of [{ before: 7 }, { before: 'x' }, { limit: 0 }, { limit: 101 }]) {
    await here.refused('bad_request', 'conversation', { with: bob, ...more });
  }
  for (const id of ['1-00000000', 'x', 7]) await here.refused('bad_request', 'read', { with: bob, id });
  await here.ask('direct', { to: bob, text: 'good' });
  await there.heard(1);
  assert.deepEqual(there.texts(), ['good']);
});

test('a full box is refused as something to try again', async (t) => {
  const small = await startServer({ env, args: ['--max-pending', '1'] });
  t.after(() => small.stop());
  const here = await visit(t, 'ann', { url: small.url });
  await here.ask('direct', { to: 'bob', text: 'one' });
  assert.equal((await here.refused('box_full', 'direct', { to: 'bob', text: 'two' })).retry, true);
  const there = await visit(t, 'bob', { url: small.url });
  await eventually('there is room', async () => (await here.request('direct', { to: 'bob', text: 'two' })).ok);
  await there.heard(2);
  assert.deepEqual(there.texts(), ['one', 'two']);
});
