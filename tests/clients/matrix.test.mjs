// The old chats' words (dialect talk), spoken by every generation over every way in one room.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { arrived, join, joinAll, kinds, open } from './generations.mjs';
import { eventually, startServer } from './harness.mjs';

const HISTORY = 25;
const BEYOND_ASCII = [
  '✓😀',
  'é',
  'Ä ä Ü ü ß ÿ',
  'てすと',
  'Я Б Г Д Ж Й',
  'שלום עולם',
  'e\u0301 \u200d \ufeff \ufffd \uffff',
  '👩‍👩‍👧‍👦 🏳️‍🌈 \u{10ffff}',
  'line\u2028paragraph\u2029end',
  'quote " backslash \\ tab \t newline \n unit \u001e nul \u0000 delete \u007f',
];

describe('in one room', () => {
  let server;
  before(async () => (server = await startServer()));
  after(() => server.stop());

  for (const kind of kinds) {
    test(`${kind.name} is told what it says, with its id and date`, async (t) => {
      const peer = await join(kind, server.url);
      t.after(() => peer.close());
      const text = `${kind.name} says so`;
      peer.socket.emit('message', text);
      const message = await eventually('its own message', () => peer.messages.find((m) => m.text === text));
      assert.match(message.date, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.equal(typeof message.ip, 'string');
      assert.ok(message.ip.length > 0);
      assert.equal(typeof message.id, 'string');
      assert.ok(Math.abs(Date.now() - Date.parse(message.date)) < 60_000, message.date);
    });

    test(`nothing that ${kind.name} sends before it is connected is lost`, async (t) => {
      const texts = Array.from({ length: 200 }, (_, i) => `${kind.name} early ${i}`);
      const peer = open(kind, server.url, {
        prepare: (socket) => texts.forEach((text) => socket.emit('message', text)),
      });
      t.after(() => peer.close());
      const own = () => peer.texts().filter((text) => text.startsWith(`${kind.name} early`));
      await eventually('all early messages', () => own().length >= texts.length);
      assert.deepEqual(own(), texts);
    });

    test(`${kind.name} is refused at a namespace that does not exist`, async (t) => {
      const peer = open(kind, server.url, { namespace: '/nowhere' });
      t.after(() => peer.close());
      await eventually('the refusal', () => peer.refusal);
      assert.equal(peer.refusal, 'Invalid namespace');
    });
  }

  test('all kinds see what all kinds say, in one order', async (t) => {
    const peers = await joinAll(t, server.url);
    const rounds = 5;
    const said = [];
    for (let round = 0; round < rounds; round++) {
      for (const { kind, socket } of peers) {
        const text = `round ${round} of ${kind.name}`;
        said.push(text);
        socket.emit('message', text);
      }
    }
    const heard = (peer) => peer.messages.filter(({ text }) => text.startsWith('round '));
    for (const peer of peers) {
      await eventually(`${peer.kind.name} heard all`, () => heard(peer).length >= said.length);
    }
    const order = heard(peers[0]);
    assert.deepEqual(order.map(({ text }) => text).sort(), said.sort());
    for (const peer of peers) assert.deepEqual(heard(peer), order, peer.kind.name);
    for (const { kind } of peers) {
      const own = order.filter(({ text }) => text.endsWith(` of ${kind.name}`)).map(({ text }) => text);
      assert.deepEqual(own, own.toSorted(), `${kind.name} is heard in the order it spoke`);
    }
  });

  test('text beyond ASCII reaches every kind from every kind as it was sent', async (t) => {
    const peers = await joinAll(t, server.url);
    for (const speaker of peers) {
      const texts = BEYOND_ASCII.map((text) => `${speaker.kind.name}: ${text}`);
      const heard = (peer) => peer.texts().filter((text) => text.startsWith(`${speaker.kind.name}: `));
      for (const text of texts) speaker.socket.emit('message', text);
      for (const peer of peers) {
        const what = `${peer.kind.name} hears ${speaker.kind.name}`;
        await eventually(what, () => heard(peer).length >= texts.length);
        assert.deepEqual(heard(peer), texts, what);
      }
    }
  });

  test('text that looks like bytes taken for characters is left as it is', async (t) => {
    const peers = await joinAll(t, server.url);
    // A 2.x client that polls puts on the wire for this text what a 1.x client puts there for `é`.
    const speakers = peers.filter(({ kind }) => !(kind.generation.startsWith('2.') && kind.way === 'polling'));
    const texts = speakers.map(({ kind }) => `${kind.name} means Ã©`);
    speakers.forEach(({ socket }, i) => socket.emit('message', texts[i]));
    for (const peer of peers) {
      const heard = () => peer.texts().filter((text) => / means /.test(text));
      await eventually(`${peer.kind.name} heard all`, () => heard().length >= texts.length);
      assert.deepEqual(heard().sort(), texts.sort(), peer.kind.name);
    }
  });

  test('half of a surrogate pair takes its place as a replacement character or as it was', async (t) => {
    const peers = await joinAll(t, server.url);
    for (const { kind, socket } of peers) {
      socket.emit('message', `half ${kind.name} \ud83d.`);
      socket.emit('message', `half ${kind.name} after`);
    }
    for (const peer of peers) {
      const heard = () => peer.texts().filter((text) => text.startsWith('half '));
      await eventually(`${peer.kind.name} heard all halves`, () => heard().length >= 2 * peers.length);
      for (const { kind } of peers) {
        const [first, second] = heard().filter((text) => text.startsWith(`half ${kind.name} `));
        assert.match(first, /[\ud83d\ufffd]\.$/, `${peer.kind.name} hears ${kind.name}`);
        assert.equal(second, `half ${kind.name} after`);
      }
    }
  });
});

describe('a newcomer', () => {
  const said = Array.from({ length: 40 }, (_, i) => `said ${i}`);
  let server;
  let ids;
  let ends = 0;
  before(async () => {
    server = await startServer();
    const speaker = await join(kinds[0], server.url);
    for (const text of said) speaker.socket.emit('message', text);
    await eventually('all is said', () => speaker.messages.length >= said.length);
    ids = speaker.messages.map(({ id }) => id);
    speaker.close();
  });
  after(() => server.stop());

  // What a newcomer is told comes at once and without an end mark: a message of its own closes it.
  async function told(t, kind, options) {
    const peer = open(kind, server.url, options);
    t.after(() => peer.close());
    await arrived(peer);
    const end = `end ${++ends} for ${kind.name}`;
    peer.socket.emit('message', end);
    await eventually('the end', () => peer.texts().includes(end));
    return peer.messages.slice(0, peer.texts().indexOf(end));
  }

  test('is told the last messages, the oldest first, whatever it is', async (t) => {
    for (const kind of kinds) {
      const before = await told(t, kinds[0]);
      const lately = await told(t, kind);
      assert.equal(lately.length, HISTORY, kind.name);
      assert.deepEqual(lately.slice(0, -1), before.slice(1), kind.name);
    }
  });

  test('that names the last message it knows is told only what followed', async (t) => {
    for (const kind of kinds) {
      const missed = await told(t, kind, { query: `after=${ids[35]}` });
      assert.deepEqual(missed.slice(0, 4).map(({ text }) => text), said.slice(36), kind.name);
      assert.equal(new Set(missed.map(({ id }) => id)).size, missed.length, 'nothing is told twice');
    }
  });

  test('that has been away for longer than the history is told all of it', async (t) => {
    const missed = await told(t, kinds.at(-1), { query: `after=${ids[0]}` });
    assert.deepEqual(missed.slice(0, 39).map(({ text }) => text), said.slice(1));
  });

  test('whose last message is not known here is told the last messages', async (t) => {
    const lately = await told(t, kinds.at(-1), { query: 'after=no-such-id' });
    assert.equal(lately.length, HISTORY);
  });
});
