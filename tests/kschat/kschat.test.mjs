// The words of kschat, spoken by the clients its pages load, WebSocket only: who is let in, messages both ways, to
// one who is away, to several tabs; what is wrong, and what a killed server owes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { current, join } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { inSeconds, token } from '../tokens/signing.mjs';
import { generations, knock, startOptions, visit } from './visitor.mjs';

let server;
before(async () => {
  server = await startServer(startOptions);
});
after(() => server.stop());

let people = 0;
/** Two users whom nobody wrote to yet. */
const two = () => [`u${++people}`, `u${++people}`];

for (const kind of generations) {
  test(`${kind.name}: who proves nothing is refused in the old words`, async (t) => {
    const queries = {
      none: 'ksId=7',
      empty: 'token=&ksId=7',
      'of a foreign key': `token=${token({ data: { id: 7 } }, { key: 'a key that this server has never seen' })}`,
      'by no key': `token=${token({ data: { id: 7 } }, { alg: 'none' })}`,
      expired: `token=${token({ data: { id: 7 }, exp: inSeconds(-1) })}`,
      cut: `token=${token({ data: { id: 7 } }).slice(0, -3)}`,
    };
    for (const data of [null, {}, [], '', 0, '0', false]) {
      queries[`without data: ${JSON.stringify(data)}`] = `token=${token({ data })}`;
    }
    for (const [what, query] of Object.entries(queries)) {
      const peer = knock(t, server.url, query, kind);
      await eventually(`${what} is refused`, () => peer.refusal);
      assert.equal(peer.refusal, 'Authentication error', what);
      assert.equal(peer.socket.connected, false, what);
      peer.close();
    }
  });

  test(`${kind.name}: two users write to each other`, async (t) => {
    const [ann, bob] = two();
    const [here, there] = [await visit(t, server.url, ann, { kind }), await visit(t, server.url, bob)];
    const ack = await here.say(bob, 'hello');
    assert.deepEqual(ack, { RESPONSE: 'Send Emit is success.', uId: ann });
    await Promise.all([here.answered(1), there.heard(1)]);
    const [{ MSGTIME, ...sent }] = here.sent();
    assert.deepEqual(sent, { RC: 1, ER: 0, SID: ann, RID: bob, MSG: 'hello', RANDOMNO: 12232, STATUS: 1 });
    assert.ok(Math.abs(Date.now() - MSGTIME) < 60_000, `${MSGTIME} is not now`);
    assert.deepEqual(there.told, [
      ['RESPRECEIVER', { RC: 1, ER: 0, MSG: [{ uId: ann, pId: bob, msg: 'hello', rStatus: 1, msgTime: MSGTIME }] }],
    ]);
    await there.say(ann, 'hello yourself');
    await here.heard(1);
    assert.deepEqual(here.texts(), ['hello yourself']);
    assert.equal(here.told.length, 2);
  });

  test(`${kind.name}: who was away gets what was written, oldest first and once`, async (t) => {
    const [ann, bob] = two();
    const here = await visit(t, server.url, ann);
    const texts = Array.from({ length: 80 }, (_, n) => `message ${n}`);
    for (const text of texts) await here.say(bob, text);
    const there = await visit(t, server.url, bob, { kind });
    await there.heard(texts.length);
    await here.say(bob, 'live');
    await there.heard(texts.length + 1);
    assert.deepEqual(there.texts(), [...texts, 'live']);
    there.close();
    // The acknowledgement of the last may be under way still.
    await eventually('nothing waits any more', async () => {
      const again = await visit(t, server.url, bob, { kind });
      await here.say(bob, 'the end');
      await eventually('the end is heard', () => again.texts().includes('the end'));
      const heard = again.texts();
      again.close();
      return heard.length === 1;
    });
  });
}

test('ids come back in the form in which they came, and compare as strings', async (t) => {
  const [me, other] = [1_000_001, 1_000_002];
  const [here, there] = [await visit(t, server.url, me), await visit(t, server.url, String(other))];
  assert.equal((await here.say(other, 'numbers')).uId, me);
  await there.heard(1);
  assert.deepEqual([there.received()[0].uId, there.received()[0].pId], [me, other]);
  assert.equal((await here.say(String(other), 'strings', { uId: String(me) })).uId, String(me));
  await Promise.all([there.heard(2), here.answered(2)]);
  assert.deepEqual([there.received()[1].uId, there.received()[1].pId], [String(me), String(other)]);
  assert.deepEqual(here.sent().map(({ SID, RID }) => [SID, RID]), [[me, other], [String(me), String(other)]]);
});

test('all tabs of both have the same conversation, and only the one that sent is told of its sending', async (t) => {
  const [ann, bob] = two();
  const annsTabs = [await visit(t, server.url, ann), await visit(t, server.url, ann)];
  const bobsTabs = [await visit(t, server.url, bob), await visit(t, server.url, bob)];
  await annsTabs[0].say(bob, 'to all tabs');
  await Promise.all([annsTabs[1], ...bobsTabs].map((tab) => tab.heard(1)));
  await annsTabs[0].answered(1);
  for (const tab of bobsTabs) assert.equal(tab.received()[0].rStatus, 1);
  const [copy] = annsTabs[1].received();
  // Its page shows a message of its own user's in the right conversation, and answers none but 1 and 2.
  assert.deepEqual([copy.uId, copy.pId, copy.msg, copy.rStatus], [ann, bob, 'to all tabs', 0]);
  assert.deepEqual(annsTabs[0].received(), []);
  assert.deepEqual(annsTabs[1].sent(), []);
});

test('the answer of one tab is enough, and a tab that stops to answer loses nothing', async (t) => {
  const [ann, bob] = two();
  const [here, mute] = [await visit(t, server.url, ann), await visit(t, server.url, bob, { answers: 1 })];
  const texts = Array.from({ length: 40 }, (_, n) => `message ${n}`);
  for (const text of texts) await here.say(bob, text);
  await mute.heard(33);
  assert.equal(mute.received().length, 33);
  const second = await visit(t, server.url, bob);
  await Promise.all([second.heard(39), mute.heard(40)]);
  assert.deepEqual(second.texts(), texts.slice(1));
  assert.deepEqual(mute.texts(), texts);
});

test('a message that nobody acknowledged comes again', async (t) => {
  const [ann, bob] = two();
  const [here, mute] = [await visit(t, server.url, ann), await visit(t, server.url, bob, { answers: 0 })];
  await here.say(bob, 'once more');
  await mute.heard(1);
  mute.close();
  const again = await visit(t, server.url, bob);
  await again.heard(1);
  assert.deepEqual(again.texts(), ['once more']);
});

for (const kind of generations) {
  test(`${kind.name}: a page that connects before it listens is told all of it, once`, async (t) => {
    const [ann, bob] = two();
    const here = await visit(t, server.url, ann);
    const texts = Array.from({ length: 40 }, (_, n) => `message ${n}`);
    for (const text of texts) await here.say(bob, text);
    // The first has come, and gone by unheard.
    const cameBy = (socket) =>
      new Promise((resolve) => {
        const look = (data) => {
          if (String(data).includes('RESPRECEIVER')) resolve(socket.io.engine.off('data', look));
        };
        // It may have been there already; then the second time is waited for.
        socket.io.engine.on('data', look);
      });
    const there = await visit(t, server.url, bob, { kind, listensFrom: cameBy });
    await here.say(bob, 'new');
    await there.heard(41);
    assert.deepEqual(there.texts(), [...texts, 'new']);
  });
}

test('after Logout nothing reaches that socket, and nothing is lost', async (t) => {
  const [ann, bob] = two();
  const [here, there] = [await visit(t, server.url, ann), await visit(t, server.url, bob)];
  const ack = await there.request('Logout', { uId: bob });
  assert.deepEqual(ack, { RESPONSE: 'Logout Emit is success.', uId: bob });
  await eventually('it is told', () => there.told.length === 1);
  assert.deepEqual(there.told[0], ['RESPLOGOUT', { RC: 1, ERR: 0 }]);
  await here.say(bob, 'after');
  there.tell('Send', { uId: bob, pId: ann, msg: 'nobody any more', rno: 1 });
  await there.answered(1);
  assert.deepEqual(there.sent().map(({ RC, ER }) => [RC, ER]), [[1, 1]]);
  assert.deepEqual(there.received(), []);
  const again = await visit(t, server.url, bob);
  await again.heard(1);
  assert.deepEqual(again.texts(), ['after']);
  assert.deepEqual(here.received(), []);
});

test('nobody writes in the name of somebody else', async (t) => {
  const [ann, bob] = two();
  const [here, there] = [await visit(t, server.url, ann), await visit(t, server.url, bob)];
  here.tell('Send', { uId: bob, pId: ann, msg: 'forged', rno: 1 });
  await here.answered(1);
  assert.deepEqual(here.sent().map(({ RC, ER }) => [RC, ER]), [[1, 1]]);
  await here.say(bob, 'honest');
  await there.heard(1);
  assert.deepEqual(there.texts(), ['honest']);
  assert.deepEqual(here.received(), []);
});

test('what is wrong is answered or logged, disturbs nobody, and the next message arrives', async (t) => {
  const [ann, bob] = two();
  const [here, there] = [await visit(t, server.url, ann), await visit(t, server.url, bob)];
  const good = { uId: ann, pId: bob, msg: 'text', rno: 1 };
  const bad = [
    undefined, null, 7, 'text', [], {}, { ...good, pId: undefined }, { ...good, pId: null }, { ...good, pId: '' },
    { ...good, pId: 'x'.repeat(10_000) }, { ...good, pId: {} }, { ...good, pId: 1.5 }, { ...good, pId: 'a\u0001b' },
    { ...good, uId: undefined }, { ...good, msg: 7 }, { ...good, msg: '  ' }, { ...good, msg: undefined },
    { ...good, msg: { toString: 1 } }, [good],
  ];
  for (const payload of bad) here.tell('Send', payload);
  await here.answered(bad.length);
  assert.deepEqual(new Set(here.sent().map(({ RC, ER }) => `${RC} ${ER}`)), new Set(['1 4']));
  for (const event of ['MsgStatus', 'Logouts', 'RESPSEND', 'constructor']) {
    for (const payload of [undefined, null, {}, { uId: ann, pId: bob, msgTime: 1, rStatus: 2 }]) here.tell(event, payload);
  }
  here.tell('MsgStatus', { uId: bob, pId: ann, msgTime: 1, rStatus: 2 });
  await here.say(bob, 'still here', { rno: 'x'.repeat(10_000) });
  here.tell('Send', { ...good, msg: 'without an ack', rno: undefined });
  await there.heard(2);
  assert.deepEqual(there.texts(), ['still here', 'without an ack']);
  await here.answered(bad.length + 2);
  assert.deepEqual(here.sent().slice(-2).map(({ RANDOMNO }) => RANDOMNO), [null, null]);
  assert.doesNotMatch(server.log(), /panicked/);
});

test('what is not sent goes back to its sender as text that says so, and every event is acknowledged', async (t) => {
  const [ann, bob] = two();
  const here = await visit(t, server.url, ann);
  const long = '<'.repeat(99_800);
  const cases = [
    [{ msg: ' ' }, 4, 'Not sent: text is empty'],
    [{ msg: long }, 4, `Not sent (text is longer than 99500 bytes): ${'&lt;'.repeat(99_800)}`],
    [{ uId: bob, msg: 'forged' }, 1, 'Not sent (you are not logged in as its sender): forged'],
    [{ msg: 7 }, 4, 'Not sent: it has the wrong shape'],
  ];
  for (const [change, code, shown] of cases) {
    const before = here.sent().length;
    const ack = await here.say(bob, 'text', change);
    await here.answered(before + 1);
    const { MSGTIME, ...sent } = here.sent().at(-1);
    const between = change.msg === 7 ? { SID: null, RID: null, RANDOMNO: null } : { SID: change.uId ?? ann, RID: bob, RANDOMNO: 12232 };
    assert.deepEqual(sent, { RC: 1, ER: code, MSG: shown, ...between });
    assert.ok(Math.abs(Date.now() - MSGTIME) < 60_000, `${MSGTIME} is not now`);
    assert.equal(ack.uId, ann);
    assert.match(ack.RESPONSE, /^Send Emit failed: /);
  }
  for (const [event, payload] of [['MsgStatus', {}], ['MsgStatus', { uId: ann, pId: bob, msgTime: 1, rStatus: 2 }], ['Nothing', 1]]) {
    assert.match((await here.request(event, payload)).RESPONSE, /^Not done: /, event);
  }
});

test('who sends what is too large for a message is told so, in words the page can show', async (t) => {
  const [ann, bob] = two();
  const here = await visit(t, server.url, ann);
  here.tell('Send', { uId: ann, pId: bob, msg: 'x'.repeat(200_000), rno: 1 });
  await here.answered(1);
  const [{ RC, ER, MSG }] = here.sent();
  assert.deepEqual([RC, ER, MSG], [1, 5, 'Not sent: a message was larger than the limit']);
});

test('markup comes as text', async (t) => {
  const [ann, bob] = two();
  const [here, there] = [await visit(t, server.url, ann), await visit(t, server.url, bob)];
  await here.say(bob, '<script>alert("&")</script>');
  await Promise.all([there.heard(1), here.answered(1)]);
  assert.deepEqual(there.texts(), ['&lt;script>alert("&")&lt;/script>']);
  assert.equal(here.sent()[0].MSG, '&lt;script>alert("&")&lt;/script>');
});

test('a note to oneself is sent and received', async (t) => {
  const [ann] = two();
  const here = await visit(t, server.url, ann);
  await here.say(ann, 'note');
  await Promise.all([here.answered(1), here.heard(1)]);
  assert.deepEqual(here.texts(), ['note']);
});

test('what was read is recorded and told in words that no page answers', async (t) => {
  const [ann, bob] = two();
  const [here, there] = [await visit(t, server.url, ann), await visit(t, server.url, bob)];
  await here.say(bob, 'read me');
  await there.heard(1);
  const [{ msgTime }] = there.received();
  const status = { uId: bob, pId: ann, msgTime, rStatus: 2, uTime: Math.floor(Date.now() / 1000), appType: 104 };
  assert.equal((await there.request('MsgStatus', status)).uId, bob);
  await eventually('the sender is told', () => here.receipts.length === 1);
  assert.deepEqual(here.receipts[0], { uId: bob, pId: ann, msgTime, rStatus: 2 });
  // Again, and from a connection that was not shown it.
  await there.request('MsgStatus', status);
  const another = await visit(t, server.url, bob);
  await another.request('MsgStatus', status);
  await here.say(bob, 'go on');
  await there.heard(2);
  assert.equal(here.receipts.length, 1);
  assert.equal(there.told.length, 2, 'a receipt came as a message');
  assert.equal(here.received().length, 0);
});

test('a native client and a kschat page have one conversation', async (t) => {
  const [ann, bob] = two();
  const there = await visit(t, server.url, bob);
  const native = await join(current, server.url, { namespace: '/chat' });
  t.after(() => native.close());
  const told = [];
  native.socket.on('direct', (message, callback) => (told.push(message), callback?.()));
  await native.request('hello', { name: 'Ann', token: token({ data: { id: ann } }) });
  const { ok, id } = await native.request('direct', { to: bob, text: '<b>' });
  assert.equal(ok, true);
  await there.heard(1);
  assert.deepEqual(there.texts(), ['&lt;b>']);
  await there.say(ann, 'back');
  await eventually('both are told', () => told.length === 2);
  assert.deepEqual(told.map(({ from, to, text }) => [from, to, text]), [[ann, bob, '<b>'], [bob, ann, 'back']]);
  assert.equal(told[0].id, id);
});

test('a full box is said to the sender, and there is room again once something was acknowledged', async (t) => {
  const small = await startServer({ ...startOptions, args: ['--max-pending', '2'] });
  t.after(() => small.stop());
  const here = await visit(t, small.url, 'ann');
  await here.say('bob', 'one');
  await here.say('bob', 'two');
  here.tell('Send', { uId: 'ann', pId: 'bob', msg: 'too much', rno: 1 });
  await here.answered(3);
  // What was kept is told when the log has told it, which may be after the refusal.
  assert.deepEqual(here.sent().filter(({ ER }) => ER !== 0).map(({ ER, MSG }) => [ER, MSG]), [
    [3, 'Not sent (too many messages wait for the other): too much'],
  ]);
  const there = await visit(t, small.url, 'bob');
  await there.heard(2);
  await eventually('there is room', async () => {
    const before = here.sent().length;
    here.tell('Send', { uId: 'ann', pId: 'bob', msg: 'three', rno: 1 });
    await here.answered(before + 1);
    return here.sent().at(-1).ER === 0;
  });
  await there.heard(3);
  assert.deepEqual(there.texts(), ['one', 'two', 'three']);
});

test('a server that is killed between a message and its delivery delivers it after the restart, once', async (t) => {
  const doomed = await startServer(startOptions);
  t.after(() => doomed.stop());
  const here = await visit(t, doomed.url, 'ann');
  for (const text of ['one', 'two', 'three']) await here.say('bob', text);
  await doomed.kill9();
  await doomed.restart();
  const there = await visit(t, doomed.url, 'bob');
  await there.heard(3);
  const again = await visit(t, doomed.url, 'ann');
  await again.say('bob', 'four');
  await there.heard(4);
  assert.deepEqual(there.texts(), ['one', 'two', 'three', 'four']);
  there.close();
  // What was acknowledged is recorded by the time the server has stopped in good order.
  await doomed.restart();
  const later = await visit(t, doomed.url, 'bob');
  const sender = await visit(t, doomed.url, 'ann');
  await sender.say('bob', 'five');
  await eventually('the newest is heard', () => later.texts().includes('five'));
  assert.deepEqual(later.texts(), ['five']);
});
