// What happens to the bus, and to those who serve it, while people talk: the way to the broker is cut, the broker is
// restarted, replicas of ours are killed. What was acknowledged is told, and nothing twice.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import amqplib from 'amqplib';

import { current, open } from '../clients/generations.mjs';
import { eventually } from '../clients/harness.mjs';
import { startRabbitmq, startRedis } from './brokers.mjs';
import { isReached, kschat, startNode, talk, visitKschat } from './fronts.mjs';
import { allHearAllOnce, enterAll } from './hearing.mjs';
import { isIn, startLoad, twice } from './load.mjs';
import { startOurs } from './ours.mjs';
import { startProxy } from './proxy.mjs';
import { undoing } from './undoing.mjs';

const DEADLINE_MS = 60_000;
/** Messages that others publish while ours are killed; more than are ever under way at once. */
const FLOOD = 1500;

const brokers = {};
before(async () => (brokers.rabbitmq = await startRabbitmq()));
after(() => brokers.rabbitmq.close());

test('the way to the broker is cut and every replica killed in turn: the bus and ours are told all of each other', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const logger = await startLogger(t);
  const node = await startTalk(t, shared);
  const way = await startProxy(t, brokers.rabbitmq);
  const ours = await startOurs(t, 2, shared, [talk], { rabbitmq: way });
  const people = ours.map((server) => settle(t, server));
  const [far] = await enterAll(t, talk, [node], shared);
  const published = [];

  const load = startLoad(people);
  await load.passes(1 / 6);
  way.cut();
  for (const [i, share] of [[0, 2 / 6], [1, 3 / 6]]) {
    await load.passes(share);
    for (let n = 0; n < 10; n += 1) published.push((await far.say(`from afar ${i} ${n}`)).text);
    await ours[i].kill9();
    await ours[i].restart();
  }
  way.mend();
  await load.passes(1);
  load.stop();

  const acknowledged = people.flatMap((person) => person.acknowledged);
  await eventually('the bus is told', () => isIn(acknowledged, logger.texts()), DEADLINE_MS);
  for (const person of people) {
    await eventually('ours are told', () => isIn([...acknowledged, ...published], person.heard()), DEADLINE_MS);
  }
  await hearTheEnd(people, logger);
  for (const person of people) assert.deepEqual(twice(person.heard()), [], 'told twice');
  // What was under way when its publisher was killed may be published again, with the same id.
  const again = twice(logger.texts());
  const ids = new Set(logger.messages().map(({ messageId, text }) => `${messageId} ${text}`));
  assert.equal(ids.size, new Set(logger.texts()).size, `published again as something else: ${again}`);
  test.diagnostic(`${acknowledged.length} acknowledged, ${published.length} from afar, ${again.length} published again`);
});

test('RabbitMQ is restarted and a replica killed in the middle: nothing that was acknowledged is lost or doubled', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const ours = await startOurs(t, 2, shared, [talk]);
  const people = ours.map((server) => settle(t, server));

  const load = startLoad(people);
  await load.passes(1 / 6);
  await brokers.rabbitmq.stop();
  await load.passes(2 / 6);
  await ours[0].kill9();
  await load.passes(3 / 6);
  await brokers.rabbitmq.start();
  // The old servers do not survive their broker: somebody starts them anew.
  const [node, logger] = [await startTalk(t, shared), await startLogger(t)];
  await ours[0].restart();
  await load.passes(1);
  load.stop();

  const acknowledged = people.flatMap((person) => person.acknowledged);
  for (const person of people) await eventually('ours are told', () => isIn(acknowledged, person.heard()), DEADLINE_MS);
  await hearTheEnd(people, logger);
  for (const person of people) assert.deepEqual(twice(person.heard()), [], 'told twice');
  assert.deepEqual(twice(logger.texts()), [], 'published twice');
  await allHearAllOnce(await enterAll(t, talk, [node, ...ours], shared));
  test.diagnostic(`${acknowledged.length} acknowledged, ${logger.texts().length} of them heard by the new logger`);
});

test('replicas are killed while others publish: each message is told once, in the order of the bus', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const ours = await startOurs(t, 2, shared, [talk]);
  const people = ours.map((server) => settle(t, server));
  await Promise.all(people.map((person) => eventually('it is here', () => person.isHere())));

  const texts = Array.from({ length: FLOOD }, (_, i) => `of many ${i}`);
  const publishing = publish('messages', '', texts.map((text) => ({ text, date: new Date(), ip: 'elsewhere' })));
  for (const [i, share] of [[0, 0.1], [1, 0.3], [0, 0.6], [1, 0.8]]) {
    const least = FLOOD * share;
    await eventually('some are told', () => people[1 - i].heard().length > least, DEADLINE_MS);
    await ours[i].kill9();
    await ours[i].restart();
  }
  await publishing;
  for (const person of people) {
    await eventually('all are told', () => isIn(texts, person.heard()), DEADLINE_MS);
    assert.deepEqual(person.heard(), texts);
  }
});

test('what others publish while none of ours lives is told once when they are back, though the broker was restarted', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const ours = await startOurs(t, 2, shared, [kschat]);
  const bob = await visitKschat(t, ours[0], 'bob');
  let node = await kschat.start(shared, 'node');
  t.after(() => node.stop());
  const ann = await visitKschat(t, node, 'ann');
  await isReached(brokers.rabbitmq, 'bob', bob);

  await Promise.all(ours.map((server) => server.kill9()));
  const texts = Array.from({ length: 20 }, (_, i) => `while nobody lives ${i}`);
  for (const text of texts) await ann.say('bob', text);
  await isPublished(t, node);
  await brokers.rabbitmq.stop();
  await brokers.rabbitmq.start();
  await Promise.all(ours.map((server) => server.restart()));
  const again = await visitKschat(t, ours[1], 'bob');
  await eventually('bob is told', () => isIn(texts, again.texts()), DEADLINE_MS);
  node = await kschat.start(shared, 'node');
  const late = await visitKschat(t, node, 'ann');
  await eventually('what is said now arrives as well', async () => {
    await late.say('bob', 'the end');
    return again.texts().includes('the end');
  });
  // That his page had what came before may not have been noted yet, and then it is shown once more.
  assert.deepEqual(again.texts().filter((text) => text.startsWith('while nobody')), texts);
});

async function startTalk(t, shared) {
  const server = await talk.start(shared, 'node');
  t.after(() => server.stop());
  return server;
}

/** The program that prints what is on `messages`: `messages()` so far, `texts()` of them. */
async function startLogger(t) {
  const logger = await startNode('logger', { amqp: brokers.rabbitmq.url });
  t.after(() => logger.stop());
  await eventually('the logger listens', () => logger.printed().startsWith('listening'));
  const messages = () => logger.printed().split('\n').filter((line) => line.startsWith('logged ')).map((line) => JSON.parse(line.slice(7)));
  return { messages, texts: () => messages().map(({ text }) => text) };
}

/** Somebody at one of ours, who comes back to it and asks for what was missed. */
function settle(t, server) {
  let last;
  const heard = [];
  const person = {
    acknowledged: [],
    heard: () => heard.map(({ text }) => text),
    isHere: () => peer.socket.connected,
    say: (text) => peer.socket.emit('message', text, () => person.acknowledged.push(text)),
  };
  const auth = (tell) => tell(last === undefined ? {} : { after: last });
  const prepare = (socket) => socket.on('message', (message) => (heard.push(message), (last = message.id)));
  const peer = open(current, server.url, { reconnect: true, auth, prepare });
  t.after(() => peer.close());
  return person;
}

async function hearTheEnd(people, logger) {
  const isHeard = () => people.every((person) => person.heard().includes('the end'));
  await eventually('somebody is here', () => people[0].isHere(), DEADLINE_MS);
  people[0].say('the end');
  await eventually('everybody hears the end', isHeard, DEADLINE_MS);
  await eventually('the logger hears the end', () => logger.texts().includes('the end'), DEADLINE_MS);
}

/** Publishes these bodies, one after the other, and waits until the broker has all. */
async function publish(exchange, key, bodies) {
  const connection = await amqplib.connect(brokers.rabbitmq.url);
  const channel = await connection.createConfirmChannel();
  for (const body of bodies) {
    if (!channel.publish(exchange, key, Buffer.from(JSON.stringify(body)))) await new Promise((resolve) => channel.once('drain', resolve));
  }
  await channel.waitForConfirms();
  await connection.close();
}

/** What this Node server has said so far is with the broker: what it said to somebody else afterwards has come. */
async function isPublished(t, node) {
  const cat = await visitKschat(t, node, 'cat');
  await cat.say('cat', 'a word to myself');
  await cat.heard(1);
}
