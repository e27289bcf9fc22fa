// What the replicas of a chat share: the real RabbitMQ and the real Redis, on free ports of their own, each with a
// folder of its own, so that nothing of the machine's is touched.

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { eventually, freshFolder } from '../clients/harness.mjs';
import { answers } from '../clients/ports.mjs';
import { startRedis as startOne } from '../replicas/cluster.mjs';

// Debian's /usr/sbin/rabbitmq-server changes to a user of its own; the one behind it runs as whoever starts it.
const RABBITMQ = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const START_DEADLINE_MS = 60_000;
const LOG_KEPT = 1 << 16;
const PORTS = { from: 12_000, to: 32_000 };

const running = new Set();
process.on('exit', () => {
  for (const child of running) end(child, 'SIGKILL');
});

/** RabbitMQ without plugins: `url` to connect to, `stop` in good order, `start` again with what it had kept. */
export async function startRabbitmq() {
  if (!existsSync(RABBITMQ)) throw new Error(`no program at ${RABBITMQ}: install it with apt-get install rabbitmq-server`);
  const folder = freshFolder();
  const [port, distribution, names] = [await steadyPort(), await steadyPort(), await steadyPort()];
  // Erlang finds its nodes by name; this name is known to a name server of ours alone.
  const nameServer = run('epmd', 'erlang-base', ['-port', String(names), '-address', '127.0.0.1']);
  writeFileSync(path.join(folder, 'rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${port}\nloopback_users = none\ndisk_free_limit.absolute = 50MB\n`);
  writeFileSync(path.join(folder, 'enabled_plugins'), '[].\n');
  for (const name of ['mnesia', 'log']) mkdirSync(path.join(folder, name));
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    ERL_EPMD_PORT: String(names),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `handshaken-${port}@localhost`,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_CONF_ENV_FILE: path.join(folder, 'none'),
    RABBITMQ_CONFIG_FILE: path.join(folder, 'rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: path.join(folder, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: path.join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: path.join(folder, 'log'),
    // The program itself in place of the shell that starts it: so it is what is signalled.
    RABBITMQ_ALLOW_INPUT: 'true',
    // It shares the machine: two threads, and none that spins while it waits.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none',
  };
  let child;
  const start = async () => {
    child = run(RABBITMQ, 'rabbitmq-server', [], { env, cwd: folder });
    const greets = () => {
      if (!isRunning(child)) throw new Error(`it ended: ${child.told}`);
      // The greeting of AMQP 0-9-1 is answered by the broker's first question (a method frame, type 1).
      return answers(port, Buffer.from('AMQP\0\0\x09\x01', 'latin1'), '\x01');
    };
    await eventually('RabbitMQ answers', greets, START_DEADLINE_MS);
  };
  const stop = async () => {
    end(child, 'SIGTERM');
    await child.over;
  };
  await start();
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    start,
    stop,
    async close() {
      await stop();
      end(nameServer, 'SIGTERM');
      await nameServer.over;
    },
  };
}

/** A Redis for one test. */
export async function startRedis(t) {
  const redis = await startOne();
  t.after(() => redis.stop());
  return redis;
}

function run(program, debianPackage, args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  running.add(child);
  child.told = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (child.told = (child.told + text).slice(-LOG_KEPT)));
  }
  child.once('error', (error) => {
    throw new Error(`${program}: ${error.message}: install it with apt-get install ${debianPackage}`);
  });
  child.over = new Promise((resolve) => child.once('exit', resolve)).finally(() => running.delete(child));
  return child;
}

function end(child, signal) {
  if (isRunning(child)) child.kill(signal);
}

const isRunning = (child) => child.exitCode === null && child.signalCode === null;

/**
 * A port that nobody listens on, below those that the kernel gives to connections: RabbitMQ refuses one that a connection of
 * a minute ago had, and one that stops must find its port again.
 */
async function steadyPort() {
  for (;;) {
    const port = randomInt(PORTS.from, PORTS.to);
    const server = net.createServer();
    const isFree = await new Promise((resolve) => server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true)));
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
