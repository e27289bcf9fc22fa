// Namespace /chat as docs/native.md promises it, with clients of every generation that people may write their
// own page with.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { current, join, joinAll, kinds, open } from './generations.mjs';
import { eventually, startServer } from './harness.mjs';

let server;
before(async () => (server = await startServer()));
after(() => server.stop());

async function enter(t, kind, room, name = kind.name, join_ = {}) {
  const peer = await join(kind, server.url, { namespace: '/chat' });
  t.after(() => peer.close());
  const hello = await peer.request('hello', { name });
  assert.equal(hello.ok, true, JSON.stringify(hello));
  const joined = await peer.request('join', { room, ...join_ });
  assert.equal(joined.ok, true, JSON.stringify(joined));
  return Object.assign(peer, { hello, joined });
}

for (const kind of kinds) {
  const room = `room of ${kind.name}`;

  test(`${kind.name} says hello, joins, posts and sees its post at its place`, async (t) => {
    const peer = await enter(t, kind, room, '  Zoë ✓😀 ');
    assert.equal(peer.hello.name, 'Zoë ✓😀');
    assert.equal(typeof peer.hello.id, 'string');
    assert.equal(peer.hello.history, 25);
    assert.ok(peer.hello.maxText >= 10_000, `maxText is ${peer.hello.maxText}`);
    assert.equal(peer.joined.room, room);
    assert.equal(peer.joined.reset, false);
    assert.ok(peer.joined.people.some(({ id, name }) => id === peer.hello.id && name === 'Zoë ✓😀'));
    assert.equal(peer.joined.total, 1);

    const posted = await peer.request('post', { room, text: 'héllo ✓😀' });
    assert.equal(posted.ok, true, JSON.stringify(posted));
    const message = await eventually('the own post', () => peer.messages.find(({ id }) => id === posted.id));
    const { replica, ...rest } = message;
    assert.equal(typeof replica, 'string');
    assert.deepEqual(rest, { room, id: posted.id, author: 'Zoë ✓😀', text: 'héllo ✓😀', time: posted.time });
  });

  test(`${kind.name} that comes back is told exactly what it missed`, async (t) => {
    const room = `missed by ${kind.name}`;
    const speaker = await enter(t, current, room, 'speaker');
    const say = (text) => speaker.request('post', { room, text });
    const { id } = await say('seen');
    const peer = await enter(t, kind, room);
    await eventually('the first message', () => peer.messages.length === 1);
    peer.close();
    const missed = Array.from({ length: 60 }, (_, i) => `missed ${i}`);
    await Promise.all(missed.map(say));
    const again = await enter(t, kind, room, kind.name, { after: id });
    assert.equal(again.joined.reset, false);
    await say('now');
    await eventually('the last message', () => again.texts().includes('now'));
    assert.deepEqual(again.texts(), [...missed, 'now']);
  });

  test(`a post that ${kind.name} repeats with its key is kept once`, async (t) => {
    const room = `repeated by ${kind.name}`;
    const peer = await enter(t, kind, room);
    const post = { room, text: 'once', key: 'key-1' };
    const [first, second] = await Promise.all([peer.request('post', post), peer.request('post', post)]);
    const third = await peer.request('post', post);
    assert.equal(first.ok, true, JSON.stringify(first));
    assert.deepEqual([second, third], [first, first]);
    await peer.request('post', { room, text: 'another', key: 'key-2' });
    await eventually('the other message', () => peer.texts().includes('another'));
    assert.deepEqual(peer.texts(), ['once', 'another']);
  });
}

const ODD_NAMES = ['quote "', 'back \\ slash', '✓😀', 'line\nbreak', 'sep\u2028arator', 'nul\u0000', 'half \ud83d', 'é', ''];

for (const kind of kinds) {
  test(`an event of ${kind.name} is answered whatever its name is`, async (t) => {
    const room = `names of ${kind.name}`;
    const peer = await enter(t, kind, room);
    let lost = 0;
    peer.socket.on('disconnect', () => (lost += 1));
    for (const name of ODD_NAMES) {
      for (const payload of [{ room }, Buffer.from([1, 2, 3])]) {
        const { ok, error } = await peer.request(name, payload);
        assert.deepEqual([ok, error?.message], [false, 'no such event'], JSON.stringify(name));
      }
    }
    assert.equal((await peer.request('post', { room, text: 'still here' })).ok, true);
    assert.equal(lost, 0);
  });
}

test('what is said at / is told in the lobby and the other way round, in one order', async (t) => {
  const native = await enter(t, current, 'lobby', 'native');
  const talkers = await joinAll(t, server.url);
  const said = [];
  for (const { kind, socket } of talkers) {
    said.push(`talk of ${kind.name}`, `native after ${kind.name}`);
    socket.emit('message', `talk of ${kind.name}`);
    native.socket.emit('post', { room: 'lobby', text: `native after ${kind.name}` });
  }
  const peers = [native, ...talkers];
  const ids = (peer) => peer.messages.filter(({ text }) => said.includes(text)).map(({ id }) => id);
  for (const peer of peers) {
    await eventually(`${peer.kind.name} hears all`, () => ids(peer).length >= said.length);
    assert.deepEqual(ids(peer), ids(native));
  }
  const authors = new Map(native.messages.map(({ text, author }) => [text, author]));
  assert.equal(authors.get(said[0]), null);
  assert.equal(authors.get(said[1]), 'native');
});

test('an id of another history is answered with a reset and the last messages', async (t) => {
  const room = 'another history';
  const speaker = await enter(t, current, room, 'speaker');
  for (let i = 0; i < 30; i++) await speaker.request('post', { room, text: `said ${i}` });
  const reader = await enter(t, current, room, 'reader', { after: '7-0badf00d' });
  assert.equal(reader.joined.reset, true);
  await eventually('the last messages', () => reader.messages.length >= 25);
  assert.deepEqual(reader.texts(), Array.from({ length: 25 }, (_, i) => `said ${i + 5}`));
});

test('older messages are read page by page, each once, down to the first', async (t) => {
  const room = 'long';
  const peer = await enter(t, current, room);
  for (let i = 0; i < 45; i++) await peer.request('post', { room, text: `${i}` });
  await eventually('all messages', () => peer.messages.length >= 45);
  let before = peer.messages.at(-1).id;
  const read = [];
  for (let more = true; more; ) {
    const page = await peer.request('history', { room, before, limit: 10 });
    assert.equal(page.ok, true, JSON.stringify(page));
    read.unshift(...page.messages.map(({ text }) => text));
    before = page.messages[0].id;
    more = page.more;
  }
  assert.deepEqual(read, Array.from({ length: 44 }, (_, i) => `${i}`));
});

test('who is in a room, comes, renames and goes is told to those who are there', async (t) => {
  const room = 'people';
  const host = await join(current, server.url, { namespace: '/chat' });
  t.after(() => host.close());
  const people = new Map();
  host.socket.on('people', ({ joined, left }) => {
    for (const id of left) people.delete(id);
    for (const { id, name } of joined) people.set(id, name);
  });
  await host.request('hello', { name: 'host' });
  await host.request('join', { room });
  const guest = await enter(t, kinds[0], room, 'visitor');
  await eventually('the guest is there', () => people.get(guest.hello.id) === 'visitor');
  await guest.request('hello', { name: 'renamed' });
  await eventually('the guest is renamed', () => people.get(guest.hello.id) === 'renamed');
  const typing = new Promise((resolve) => host.socket.once('typing', resolve));
  await guest.request('typing', { room, on: true });
  assert.deepEqual(await typing, { room, id: guest.hello.id, name: 'renamed', on: true });
  guest.close();
  await eventually('the guest is gone', () => !people.has(guest.hello.id));
});

test('rooms are listed with who is there and when something was last said', async (t) => {
  const room = 'listed';
  const peer = await enter(t, current, room);
  const { time } = await peer.request('post', { room, text: 'news' });
  const { ok, rooms } = await peer.request('rooms', {});
  assert.equal(ok, true);
  assert.deepEqual(rooms.find((listed) => listed.room === room), { room, people: 1, last: time });
  assert.deepEqual(await peer.request('leave', { room }), { ok: true });
  await eventually('nobody is listed', async () => {
    const { rooms } = await peer.request('rooms', {});
    return rooms.find((listed) => listed.room === room).people === 0;
  });
});

test('requests that the contract refuses are refused by their code', async (t) => {
  const early = await join(current, server.url, { namespace: '/chat' });
  t.after(() => early.close());
  const refused = async (peer, event, payload, code) => {
    const answer = await peer.request(event, payload);
    const what = `${event} ${JSON.stringify(payload)?.slice(0, 80)}`;
    assert.equal(answer.ok, false, what);
    assert.equal(answer.error.code, code, what);
    assert.equal(answer.error.retry, false, what);
    assert.ok(answer.error.message.length > 0, what);
  };
  for (const [event, payload] of [['join', { room: 'r' }], ['post', { room: 'r', text: 't' }], ['rooms', {}]]) {
    await refused(early, event, payload, 'hello_first');
  }
  for (const name of ['', '   ', 'n'.repeat(41), 'bell\u0007', 'turned\u202e', 'n'.repeat(10_000)]) {
    await refused(early, 'hello', { name }, 'bad_name');
  }
  for (const payload of [null, 5, 'name', [], {}, { name: 5 }, { name: null }]) {
    await refused(early, 'hello', payload, 'bad_request');
  }

  const peer = await enter(t, current, 'refusals');
  for (const room of ['', ' ', 'r'.repeat(65), 'line\nbreak', 'r'.repeat(10_000)]) {
    await refused(peer, 'join', { room }, 'bad_room');
  }
  await refused(peer, 'post', { room: 'not joined', text: 't' }, 'not_joined');
  await refused(peer, 'typing', { room: 'not joined', on: true }, 'not_joined');
  for (const text of ['', ' \n\t']) await refused(peer, 'post', { room: 'refusals', text }, 'empty');
  for (const text of [5, null, { a: 1 }, ['t']]) await refused(peer, 'post', { room: 'refusals', text }, 'bad_request');
  await refused(peer, 'post', { room: 'refusals', text: 'x'.repeat(peer.hello.maxText + 1) }, 'too_long');
  const longest = await peer.request('post', { room: 'refusals', text: 'x'.repeat(peer.hello.maxText) });
  assert.equal(longest.ok, true, JSON.stringify(longest));
  for (let i = 1; i < 50; i++) assert.equal((await peer.request('join', { room: `room ${i}` })).ok, true);
  await refused(peer, 'join', { room: 'one too many' }, 'too_many_rooms');
});

test('a request without a callback is carried out all the same', async (t) => {
  const peer = open(current, server.url, {
    namespace: '/chat',
    prepare: (socket) => {
      socket.emit('hello', { name: 'silent' });
      socket.emit('join', { room: 'silent' });
      socket.emit('post', { room: 'silent', text: 'said without asking' });
    },
  });
  t.after(() => peer.close());
  await eventually('the post', () => peer.texts().includes('said without asking'));
});
