// The old servers among themselves, before ours joins them: what is said at one is told at the other. It is the tests' own
// servers that are tested here: if these cannot meet, what follows says nothing.

import { after, before, test } from 'node:test';

import { undoing } from './undoing.mjs';
import { adapter, chatExchange, infinite, kschat, startNode, startNodes, talk } from './fronts.mjs';
import { startRabbitmq, startRedis } from './brokers.mjs';
import { allHearAllOnce, enterAll } from './hearing.mjs';
import { eventually } from '../clients/harness.mjs';

const brokers = {};
before(async () => {
  brokers.rabbitmq = await startRabbitmq();
});
after(() => brokers.rabbitmq.close());

for (const front of [talk, kschat, chatExchange('amqpchat'), chatExchange('rabbitpubsub'), infinite, adapter(2), adapter(4)]) {
  test(`two Node servers meet: ${front.title}`, async (test) => {
    const t = undoing(test);
    const shared = { ...brokers, redis: await startRedis(t) };
    await allHearAllOnce(await enterAll(t, front, await startNodes(t, front, shared, 2), shared));
  });
}

test('a program that listens on `messages` prints what is said', async (t) => {
  const [server, logger] = [await talk.start(brokers, 'node-1'), await startNode('logger', { amqp: brokers.rabbitmq.url })];
  t.after(() => Promise.all([server.stop(), logger.stop()]));
  const [person] = await enterAll(t, talk, [server], brokers);
  await eventually('the logger listens', () => logger.printed().startsWith('listening'));
  await person.say('for the record');
  await eventually('it is printed', () => /^logged .*"for the record"/m.test(logger.printed()));
});
