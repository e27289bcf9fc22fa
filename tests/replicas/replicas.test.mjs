// Three replicas behind a balancer that gives each request to the next one, and a crowd that polls, upgrades and
// posts through it, while parts of it all fail. REPLICAS_CLIENTS and REPLICAS_SECONDS make it larger and longer than
// every day.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { knowsAll, startBalancer, startRedis, startReplicas } from './cluster.mjs';
import { absences, allWereTold, chat, gather } from './crowd.mjs';

const CLIENTS = Number(process.env.REPLICAS_CLIENTS ?? 60);
const SECONDS = Number(process.env.REPLICAS_SECONDS ?? 12);

/** Messages a second of the whole crowd. */
const RATE = 20;

/** All of it, with a crowd in one room. */
async function start(t) {
  const redis = await startRedis();
  const replicas = await startReplicas(3, redis, ['--drain-timeout', '6s']);
  const balancer = await startBalancer(replicas);
  const peers = await gather(t, CLIENTS, balancer.url);
  // After the peers are closed: they would look for it, and some cannot be told to stop.
  t.after(async () => {
    await balancer.stop();
    await Promise.all(replicas.map((replica) => replica.stop()));
    await redis.stop();
  });
  return { redis, replicas, balancer, peers };
}

/** A part of the whole time. */
const at = (share) => SECONDS * share;

describe('everybody is told everything once, in one order', () => {
  test('and no request is refused', async (t) => {
    const { balancer, peers } = await start(t);
    const { posted, acknowledged } = await chat(peers, RATE, SECONDS);
    assert.equal(await allWereTold(peers, acknowledged), posted);
    assert.deepEqual(balancer.refusals(), []);
    assert.deepEqual(absences(peers).times, 0);
  });

  test('though a replica is killed and comes back, and Redis after it', async (t) => {
    const { redis, replicas, peers } = await start(t);
    const { posted, acknowledged } = await chat(peers, RATE, SECONDS, [
      [at(1 / 3), () => replicas[1].kill9()],
      [at(1 / 2), () => replicas[1].restart()],
      [at(2 / 3), () => redis.kill9()],
      [at(3 / 4), () => redis.restart()],
    ]);
    const told = await allWereTold(peers, acknowledged);
    t.diagnostic(`${told} of ${posted} were kept, ${acknowledged.size} acknowledged; away ${JSON.stringify(absences(peers))}`);
  });

  test('though all replicas are replaced, one after the other', async (t) => {
    const { replicas, peers } = await start(t);
    const replace = async () => {
      for (const replica of replicas) {
        await replica.restart();
        await knowsAll(replica, 3);
      }
    };
    const { posted, acknowledged } = await chat(peers, RATE, SECONDS, [[at(1 / 6), replace]]);
    const told = await allWereTold(peers, acknowledged);
    t.diagnostic(`${told} of ${posted} were kept, ${acknowledged.size} acknowledged; away ${JSON.stringify(absences(peers))}`);
  });
});
