// A chat moves under load: two Node servers are replaced by two of ours, one after the other, while everybody goes on
// talking. NEIGHBOURS_CLIENTS, NEIGHBOURS_RATE and NEIGHBOURS_SECONDS make it larger and longer than every day.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { join, kinds } from '../clients/generations.mjs';
import { eventually } from '../clients/harness.mjs';
import { startRabbitmq, startRedis } from './brokers.mjs';
import { kschat, startNode, startNodes, talk, visitKschat } from './fronts.mjs';
import { CLIENTS, isIn, startLoad, twice, without } from './load.mjs';
import { startOurs } from './ours.mjs';
import { undoing } from './undoing.mjs';

const DEADLINE_MS = 60_000;
const KIND = kinds.find(({ name }) => name === '1.7.4 over websocket');
// Long enough for whoever moves to be told what it missed meanwhile.
const ARGS = ['--history', '500'];
// Who talks to each other is at one server, or across.
const PAIRS = [[0, 0], [0, 1], [1, 1], [1, 0]];

const brokers = {};
before(async () => (brokers.rabbitmq = await startRabbitmq()));
after(() => brokers.rabbitmq.close());

test('a room moves: nobody who stayed misses anything or is told it twice, and who moved is told the rest', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const old = await startNodes(t, talk, shared, 2);
  const logger = await startNode('logger', { amqp: brokers.rabbitmq.url });
  t.after(() => logger.stop());
  await eventually('the logger listens', () => logger.printed().startsWith('listening'));
  const people = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => settle(t, { server: old[i % 2] })));

  const load = startLoad(people);
  await load.passes(1 / 6);
  const ours = await startOurs(t, 2, shared, [talk], { args: ARGS });
  // Before these end: nobody is to look for another server then.
  t.after(() => people.forEach((person) => person.leave()));
  for (const [i, share] of [[0, 2 / 6], [1, 4 / 6]]) {
    await load.passes(share);
    const moving = people.filter((person) => person.home.server === old[i]);
    // Whoever is cut off goes where the balancer sends it.
    for (const person of moving) person.home.server = ours[i];
    await old[i].stop();
    for (const person of moving) await eventually('it has moved', () => person.isHere() && person.stretches.length > 1, DEADLINE_MS);
  }
  await load.passes(1);
  const said = load.stop();

  const logged = () => logger.printed().split('\n').filter((line) => line.startsWith('logged ')).map((line) => JSON.parse(line.slice(7)).text);
  await eventually('ours have acknowledged', () => people.every((person) => person.isAnswered()), DEADLINE_MS);
  const acknowledged = people.flatMap((person) => person.acknowledged);
  await eventually('what ours acknowledged is on the bus', () => isIn(acknowledged, logged()), DEADLINE_MS);
  // What a Node server took with it when it ended was never on the bus.
  const accepted = logged();
  assert.deepEqual(twice(accepted), [], 'on the bus twice');
  for (const person of people) {
    await eventually('everybody is told what was on the bus', () => isIn(accepted, person.heard()), DEADLINE_MS);
  }
  await hearTheEnd(people);
  for (const [i, person] of people.entries()) {
    assert.deepEqual(without(person.heard(), [...accepted, 'the end']), [], `what ${i} was told and the bus was not`);
    for (const { server, texts } of person.stretches) assert.deepEqual(twice(texts), [], `what ${i} was told twice at ${server.name}`);
  }
  const order = ({ stretches }) => stretches.at(-1).texts.slice(-accepted.length / 6);
  for (const person of people) assert.deepEqual(order(person), order(people[0]), 'the order at ours');
  test.diagnostic(`${said} said, ${accepted.length} accepted, ${acknowledged.length} of them by ours`);
});

test('conversations move: nobody misses anything or is told it twice', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const old = await startNodes(t, kschat, shared, 2);
  const users = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) => converse(t, `user-${i}`, `user-${i ^ 1}`, old[PAIRS[(i >> 1) % PAIRS.length][i % 2]])),
  );

  const load = startLoad(users);
  await load.passes(1 / 6);
  const ours = await startOurs(t, 2, shared, [kschat]);
  const callers = { node: await visitKschat(t, old[1], 'caller at node'), ours: await visitKschat(t, ours[0], 'caller at ours') };
  for (const [i, share] of [[0, 2 / 6], [1, 4 / 6]]) {
    await load.passes(share);
    await Promise.all(users.filter((user) => user.server() === old[i]).map((user) => user.moveTo(ours[i], callers)));
    if (i === 1) await callers.node.close();
    await old[i].stop();
  }
  await load.passes(1);
  const said = load.stop();

  const returned = old.flatMap((server) => server.printed().match(/^returned .*$/gm) ?? []);
  assert.deepEqual(returned, [], 'there was always somebody to take it');
  for (const user of users) {
    const partner = users[users.indexOf(user) ^ 1];
    await eventually(`${user.id} is answered`, () => user.isAnswered(), DEADLINE_MS);
    await eventually(`${partner.id} is told all`, () => isIn(user.accepted, partner.heard()), DEADLINE_MS);
  }
  for (const user of users) await user.say('the end');
  for (const user of users) {
    await eventually(`${user.id} hears the end`, () => user.heard().includes('the end'), DEADLINE_MS);
    for (const { server, texts } of user.stretches()) assert.deepEqual(twice(texts()), [], `what ${user.id} was told twice at ${server.name}`);
    assert.deepEqual(user.again(), [], `what ${user.id} had been told before it moved`);
  }
  test.diagnostic(`${said} said, ${users.flatMap((user) => user.accepted).length} accepted`);
});

/** Somebody in talk's room, who goes to `home.server` whenever it is cut off. What it was told at each server is a stretch. */
async function settle(t, home) {
  const person = {
    home,
    stretches: [],
    acknowledged: [],
    isHere: () => peer?.socket.connected ?? false,
    // The old server knows no acknowledgements.
    isAnswered: () => asked === person.acknowledged.length,
    heard: () => person.stretches.flatMap(({ texts }) => texts),
    say(text) {
      if (!person.stretches.at(-1).server.isNode) asked += 1;
      peer.socket.emit('message', text, () => person.acknowledged.push(text));
    },
  };
  let asked = 0;
  let peer;
  let isOver = false;
  const enter = async () => {
    const { server } = home;
    const stretch = { server, texts: [] };
    const prepare = (socket) => socket.on('message', ({ text }) => stretch.texts.push(text));
    const entered = await join(KIND, server.url, { prepare });
    person.stretches.push(stretch);
    peer = entered;
    peer.socket.once('disconnect', () => isOver || eventually('it is let in again', enterAgain, DEADLINE_MS));
  };
  const enterAgain = () => enter().then(() => true);
  person.leave = () => {
    isOver = true;
    peer?.close();
  };
  t.after(person.leave);
  await enter();
  return person;
}

/** A user of kschat who talks to one other. */
async function converse(t, id, partner, server) {
  const visits = [{ server, visit: await visitKschat(t, server, id) }];
  const before = [];
  let unanswered = 0;
  const current = () => visits.at(-1).visit;
  const user = {
    id,
    accepted: [],
    server: () => visits.at(-1).server,
    isHere: () => true,
    isAnswered: () => unanswered === 0,
    stretches: () => visits.map(({ server, visit }) => ({ server, texts: visit.texts })),
    heard: () => visits.flatMap(({ visit }) => visit.texts()),
    again: () => (visits.length < 2 ? [] : visits[1].visit.texts().filter((text) => before.includes(text))),
    async say(text) {
      unanswered += 1;
      await current().say(partner, text);
      unanswered -= 1;
      user.accepted.push(text);
    },
    /** Is at both for a while, as a page that was opened anew beside the old one: until it is heard at both. */
    async moveTo(server, callers) {
      const [{ visit: former }] = visits;
      await call(callers.ours, former);
      before.push(...former.texts());
      await call(callers.ours, former);
      const visit = await visitKschat(t, server, id);
      visits.push({ server, visit });
      // What was told to one of the two before this was heard at both is told to it alone.
      const called = await call(callers.node, visit);
      await eventually(`${id} hears that at the old server too`, () => former.texts().includes(called), DEADLINE_MS);
      await eventually(`${id} is answered`, () => unanswered === 0, DEADLINE_MS);
      former.close();
    },
  };
  return user;

  /** Writes to this user until one of its visits is told; answers what that was. */
  async function call(caller, visit) {
    for (let tries = 0; tries < 100; tries += 1) {
      const text = `call ${tries} at ${performance.now()}`;
      await caller.say(id, text);
      const isHeard = () => visit.texts().includes(text);
      if (await eventually('it is heard', isHeard, 300).catch(() => false)) return text;
    }
    throw new Error(`${id} cannot be reached`);
  }
}

async function hearTheEnd(people) {
  people[0].say('the end');
  for (const person of people) await eventually('everybody hears the end', () => person.heard().includes('the end'), DEADLINE_MS);
}
