// Replicas of ours that join the old chats' buses.

import { eventually, startServer } from '../clients/harness.mjs';

/**
 * `count` replicas that share the Redis, bridged to the bus of each of `fronts`: what is said there is heard from now on.
 * `rabbitmq` is the way to it, where that is another than everybody's.
 */
export async function startOurs(t, count, brokers, fronts, { args = [], env = {}, rabbitmq = brokers.rabbitmq } = {}) {
  // Two fronts may be at one address, which is given once.
  const settings = new Set(fronts.flatMap((front) => front.settings({ ...brokers, rabbitmq })));
  const start = async (_, i) => {
    const name = `ours-${i}`;
    const server = await startServer({
      args: ['--redis', brokers.redis.url, '--host-name', name, ...settings, ...args],
      env: Object.assign({}, ...fronts.map((front) => front.env), env),
    });
    return Object.assign(server, { name });
  };
  const servers = await Promise.all(Array.from({ length: count }, start));
  t.after(() => Promise.all(servers.map((server) => server.stop())));
  for (const { bus } of fronts) {
    await eventually(`one of ours is on ${bus}`, async () => (await states(servers, bus)).includes('connected'));
  }
  return servers;
}

const states = (servers, bus) => Promise.all(servers.map(async ({ url }) => (await (await fetch(`${url}/ready`)).json()).neighbours[bus]?.state));
