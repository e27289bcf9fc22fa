// Any request to any replica: clients that poll, upgrade and post through a balancer that knows nothing of
// sessions. REPLICAS_CLIENTS and REPLICAS_SECONDS make the crowd larger than every day's.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startBalancer, startRedis, startReplicas } from './cluster.mjs';
import { allGot, chat, gather } from './crowd.mjs';

const CLIENTS = Number(process.env.REPLICAS_CLIENTS ?? 60);
const SECONDS = Number(process.env.REPLICAS_SECONDS ?? 5);

/** Messages a second of the whole crowd. */
const RATE = 20;

async function start(t, count = 3) {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const replicas = await startReplicas(count, redis);
  t.after(() => Promise.all(replicas.map((replica) => replica.stop())));
  const balancer = await startBalancer(replicas);
  t.after(() => balancer.stop());
  return { redis, replicas, balancer };
}

describe('behind a balancer that gives each request to the next replica', () => {
  test('every client is told everything once, in one order, and no request is refused', async (t) => {
    const { balancer } = await start(t);
    const peers = await gather(t, CLIENTS, balancer.url);
    await allGot(peers, await chat(peers, RATE, SECONDS));
    assert.deepEqual(balancer.refusals(), []);
  });
});
