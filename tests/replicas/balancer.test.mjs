// The balancer that compose.yaml and deploy/stack.yaml run, with its own nginx.conf, before a real server.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { joinAll } from '../clients/generations.mjs';
import { eventually, freshFolder, startServer } from '../clients/harness.mjs';
import { freePort } from '../clients/ports.mjs';
import { run } from './cluster.mjs';

const CONFIG = new URL('../../deploy/nginx.conf', import.meta.url);

let server;
before(async () => (server = await startServer({ args: ['--trusted-proxy', '127.0.0.1', '--address-failures', '1'] })));
after(() => server.stop());

test('every generation of client comes through in every way', async (t) => {
  const { url } = await balancer(t);
  const peers = await joinAll(t, url);
  peers[0].socket.emit('message', 'hello');
  for (const { kind, texts } of peers) await eventually(`${kind.name} is told`, () => texts().at(-1) === 'hello');
});

test('nobody out there is told what a replica depends on', async (t) => {
  const { url } = await balancer(t);
  assert.equal((await fetch(`${server.url}/ready`)).status, 200);
  assert.equal((await fetch(`${url}/ready`)).status, 404);
  assert.equal((await fetch(`${url}/health`)).status, 200);
});

test('what a client says of its address and of https is not believed', async (t) => {
  const { url } = await balancer(t);
  assert.equal(await isSecure(url), false);
  await fails(url, '203.0.113.1', 'a@b.example');
  assert.ok(await fails(url, '203.0.113.2', 'b@b.example'), 'both come from one address');
});

test('what a proxy with TLS says of them is, once its address stands in both places', async (t) => {
  const { url } = await balancer(t, (text) => {
    const known = text.replaceAll(/# (set_real_ip_from )?192\.0\.2\.7/g, (_, name = '') => `${name}127.0.0.1`);
    assert.equal(known.match(/^ *(set_real_ip_from 127\.0\.0\.1;|127\.0\.0\.1 1;)$/gm)?.length, 2, known);
    return known;
  });
  assert.equal(await isSecure(url), true);
  await fails(url, '203.0.113.3', 'c@b.example');
  assert.ok(await fails(url, '203.0.113.3', 'd@b.example'), 'once more from that address');
  assert.ok(!(await fails(url, '203.0.113.4', 'e@b.example')), 'another address is another client');
});

/** Whether the cookie of somebody who came to the proxy by https is for https alone. */
async function isSecure(url) {
  const answer = await post(`${url}/user`, { user: 'Ann' }, { 'x-forwarded-proto': 'https' });
  return answer.headers.get('set-cookie').includes('; Secure');
}

/** Logs in in vain; whether that was once too often for the address. */
async function fails(url, from, mail) {
  const answer = await post(`${url}/login`, { mail, pass: 'wrong' }, { 'x-forwarded-for': from });
  assert.equal(answer.status, 200);
  return answer.headers.has('retry-after');
}

const post = (url, form, headers) => fetch(url, { method: 'POST', headers, body: new URLSearchParams(form) });

/** nginx with that file, but for the addresses of a container, and with what `edit` makes of it. */
async function balancer(t, edit = (text) => text) {
  const folder = freshFolder();
  const port = await freePort();
  let text = edit(readFileSync(CONFIG, 'utf8'));
  for (const [there, here] of [
    ['listen 80;', `listen 127.0.0.1:${port};`],
    ['server chat:3000 resolve ', `server 127.0.0.1:${server.port} `],
    ['http {', `http { ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}`],
    ['worker_processes auto;', `worker_processes 1; daemon off; pid ${folder}/pid;`],
  ]) {
    assert.ok(text.includes(there), `no \`${there}\` in ${CONFIG.pathname}`);
    text = text.replace(there, here);
  }
  const config = path.join(folder, 'nginx.conf');
  writeFileSync(config, text);
  const nginx = run('nginx', 'nginx-light', ['-p', folder, '-c', config, '-e', 'stderr']);
  t.after(async () => {
    nginx.kill('SIGTERM');
    await nginx.over;
  });
  const url = `http://127.0.0.1:${port}`;
  await eventually('the balancer answers', async () => (await fetch(`${url}/health`)).ok);
  return { url };
}
