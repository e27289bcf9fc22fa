// Two Node servers and two of ours on one bus, for each of the old chats: whoever says something at any of the four is heard
// at all four, once, with the name and the host name that belong to it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { current, join } from '../clients/generations.mjs';
import { eventually } from '../clients/harness.mjs';
import { startRabbitmq, startRedis } from './brokers.mjs';
import { adapter, chatExchange, infinite, kschat, startNode, startNodes, talk } from './fronts.mjs';
import { allHearAllOnce, enterAll } from './hearing.mjs';
import { isIn } from './load.mjs';
import { startOurs } from './ours.mjs';
import { undoing } from './undoing.mjs';

const FRONTS = [talk, kschat, chatExchange('amqpchat'), chatExchange('rabbitpubsub'), infinite, adapter(2), adapter(4)];

const brokers = {};
before(async () => {
  brokers.rabbitmq = await startRabbitmq();
});
after(() => brokers.rabbitmq.close());

describe('each hears each, once', () => {
  for (const front of FRONTS) {
    test(front.title, async (test) => {
      const t = undoing(test);
      const shared = { ...brokers, redis: await startRedis(t) };
      const nodes = await startNodes(t, front, shared, 2);
      const ours = await startOurs(t, 2, shared, [front]);
      await allHearAllOnce(await enterAll(t, front, [...nodes, ...ours], shared));
    });
  }
});

test('on several buses at once: whoever is on any of them hears everybody, once', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const fronts = [talk, chatExchange('rabbitpubsub'), infinite, adapter(4)];
  const nodes = await Promise.all(fronts.map((front) => startNodes(t, front, shared, 1)));
  const ours = await startOurs(t, 2, shared, fronts);
  const people = await Promise.all(fronts.map((front, i) => enterAll(t, front, [...nodes[i], ours[i % 2]], shared)));
  // Each front end tells of whom as it can; the text is what all have.
  await allHearAllOnce(people.flat().map(wordsAlone));
});

test('a program that listens on `messages` prints what is said in every front end', async (test) => {
  const t = undoing(test);
  const shared = { ...brokers, redis: await startRedis(t) };
  const [node] = await startNodes(t, talk, shared, 1);
  const fronts = [talk, chatExchange('amqpchat'), chatExchange('rabbitpubsub'), infinite];
  const ours = await startOurs(t, 2, shared, [talk], { env: chatExchange().env });
  const logger = await startNode('logger', { amqp: shared.rabbitmq.url });
  t.after(() => logger.stop());
  await eventually('the logger listens', () => logger.printed().startsWith('listening'));

  const people = await Promise.all(fronts.map((front) => enterAll(t, front, ours, shared)));
  people.push(await enterAll(t, talk, [node], shared), [await enterNative(t, ours[0])]);
  const texts = people.flat().map((_, i) => `for the record, ${i}`);
  for (const [i, person] of people.flat().entries()) await person.say(texts[i]);
  const logged = () => [...logger.printed().matchAll(/^logged (.*)$/gm)].map(([, line]) => JSON.parse(line).text);
  await eventually('all is printed', () => isIn(texts, logged()));
  assert.deepEqual(logged().sort(), texts.sort());
});

const wordsAlone = (person) => ({
  say: async (text) => ({ text: (await person.say(text)).text }),
  heard: () => person.heard().map(({ text }) => ({ text })),
});

/** Somebody in the lobby of the native dialect. */
async function enterNative(t, server) {
  const peer = await join(current, server.url, { namespace: '/chat' });
  t.after(() => peer.close());
  await peer.request('hello', { name: 'Nat' });
  await peer.request('join', { room: 'lobby' });
  return { say: (text) => peer.request('post', { room: 'lobby', text }) };
}
