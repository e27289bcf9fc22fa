// The old servers among themselves, before ours joins them: what is said at one is told at the other. It is the tests' own
// servers that are tested here: if these cannot meet, what follows says nothing.

import { after, before, test } from 'node:test';

import { adapter, chatExchange, infinite, kschat, startNode, talk } from './fronts.mjs';
import { startRabbitmq, startRedis } from './brokers.mjs';
import { allHearAllOnce, enterAll } from './hearing.mjs';
import { eventually } from '../clients/harness.mjs';

const brokers = {};
before(async () => {
  brokers.rabbitmq = await startRabbitmq();
  brokers.redis = await startRedis();
});
after(() => Promise.all(Object.values(brokers).map((broker) => broker.close())));

for (const front of [talk, kschat, chatExchange('amqpchat'), chatExchange('rabbitpubsub'), infinite, adapter(2), adapter(4)]) {
  test(`two Node servers meet: ${front.title}`, async (t) => {
    const servers = await Promise.all(['node-1', 'node-2'].map((name) => front.start(brokers, name)));
    t.after(() => Promise.all(servers.map((server) => server.stop())));
    await allHearAllOnce(await enterAll(t, front, servers, brokers));
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
