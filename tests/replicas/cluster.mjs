// Several replicas on one Redis behind a balancer that sends each request to the next of them: the real
// redis-server and nginx, on free ports, each with a folder of its own.

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { eventually, freshFolder, startServer } from '../clients/harness.mjs';
import { answers, freePort } from '../clients/ports.mjs';

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Redis that writes every change to disk before it answers, so that `kill9` loses nothing. */
export async function startRedis() {
  const folder = freshFolder();
  const port = await freePort();
  const options = { bind: '127.0.0.1', port, dir: folder, appendonly: 'yes', appendfsync: 'always', save: '' };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  let child;
  const start = async () => {
    child = run('redis-server', 'redis-server', args);
    await eventually('Redis answers', () => answers(port, 'PING\r\n', '+PONG'));
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    restart: start,
    command: (command) => answers(port, `${command}\r\n`, '+OK'),
    async kill9() {
      child.kill('SIGKILL');
      await child.over;
    },
    async stop() {
      child.kill('SIGTERM');
      await child.over;
    },
  };
}

/** `count` replicas that know each other, each with a listener for the others. */
export async function startReplicas(count, redis, args = []) {
  const shared = ['--redis', redis.url, '--cluster-listen', '127.0.0.1:0', ...args];
  const starting = Array.from({ length: count }, (_, i) => startServer({ args: [...shared, '--host-name', `replica-${i}`] }));
  const replicas = await Promise.all(starting);
  for (const replica of replicas) await knowsAll(replica, count);
  return replicas;
}

/** Waits until a replica knows of so many, itself included. */
export const knowsAll = (replica, count) =>
  eventually('a replica knows all', async () => (await (await fetch(`${replica.url}/ready`)).json()).replicas.count === count);

/** Sends each request to the next replica, whatever client it comes from. */
export async function startBalancer(replicas) {
  const folder = freshFolder();
  const port = await freePort();
  const servers = replicas.map(({ port }) => `server 127.0.0.1:${port} max_fails=1 fail_timeout=1s;`).join(' ');
  const config = path.join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; pid ${folder}/pid; error_log ${folder}/errors warn;
    events { worker_connections 4096; }
    http {
      log_format brief '$status $request_method $request_uri';
      access_log ${folder}/access brief;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
      map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
      upstream replicas { ${servers} keepalive 64; }
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location / {
          proxy_pass http://replicas;
          proxy_http_version 1.1;
          proxy_set_header Host $http_host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_buffering off;
          proxy_read_timeout 75s;
        }
      }
    }\n`,
  );
  const child = run('nginx', 'nginx-light', ['-p', folder, '-c', config, '-e', 'stderr']);
  const url = `http://127.0.0.1:${port}`;
  await eventually('the balancer answers', async () => (await fetch(`${url}/health`)).ok);
  return {
    url,
    /** `status method address` of every request that was refused. */
    refusals: () => readFileSync(`${folder}/access`, 'utf8').split('\n').filter((line) => /^[45]/.test(line)),
    async stop() {
      child.kill('SIGTERM');
      await child.over;
    },
  };
}

export function run(program, debianPackage, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  running.add(child);
  child.once('error', (error) => {
    throw new Error(`${program}: ${error.message}: install it with apt-get install ${debianPackage}`);
  });
  child.over = new Promise((resolve) => child.once('exit', resolve)).finally(() => running.delete(child));
  return child;
}
