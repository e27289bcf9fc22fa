// Three replicas that share all that can be shared, and a balancer that gives each request to the next of them.

import { eventually } from '../clients/harness.mjs';
import { startDatabase } from '../express/parts.mjs';
import { startBalancer, startRedis, startReplicas } from '../replicas/cluster.mjs';

/** Once they know of each other; gone when the test is over. */
export async function startThree(t, args) {
  const [redis, database] = await Promise.all([startRedis(), startDatabase()]);
  const shared = ['--database', database.url, '--session-secret', 'known to all replicas'];
  const replicas = await startReplicas(3, redis, [...args, ...shared]);
  for (const { url } of replicas) {
    await eventually('a replica knows all', async () => (await (await fetch(`${url}/ready`)).json()).replicas.count === 3);
  }
  const balancer = await startBalancer(replicas);
  t.after(async () => {
    await balancer.stop();
    await Promise.all(replicas.map((replica) => replica.stop()));
    await Promise.all([redis.stop(), database.stop()]);
  });
  return { replicas, balancer };
}
