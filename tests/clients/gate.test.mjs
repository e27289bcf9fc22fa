// Everybody comes at once, as after a crash: sessions begin at the rate that is set, nobody who is here is disturbed, and
// every generation of client gets in.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { join as joinLegacy, kinds as legacyKinds } from '../legacy/clients.mjs';
import { join, kinds, open } from './generations.mjs';
import { eventually, startServer } from './harness.mjs';
import { handshake, send } from './wire.mjs';

const RATE = 5;

test('sessions that begin are kept waiting, those beyond are asked to come later, and those that exist go on', async (t) => {
  const server = await startServer({ args: ['--handshake-rate', String(RATE)] });
  t.after(() => server.stop());
  const sid = await handshake(server);
  const here = `EIO=4&transport=polling&sid=${sid}`;
  const crowd = Array.from({ length: 40 * RATE }, (_, n) =>
    n % 2 ? send(server, 'GET', 'EIO=4&transport=polling') : send(server, 'GET', 't=1', { path: '/socket.io/1/' }),
  );
  const all = Promise.all(crowd);
  // The first of those that are refused is there before the last that wait.
  assert.equal((await Promise.any(crowd.map(async (answer) => ((await answer).status === 503 ? answer : Promise.reject())))).headers['retry-after'], '1');
  assert.equal((await send(server, 'POST', here, { body: '40' })).body, 'ok');
  assert.match((await send(server, 'GET', here)).body, /^40/);
  const answers = await all;
  const count = (status) => answers.filter((answer) => answer.status === status).length;
  assert.equal(count(200) + count(503), answers.length);
  assert.ok(count(200) >= 10 * RATE, `${count(200)} got in`);
  assert.ok(count(503) > 0);
});

test('clients of every generation get in, however many come', async (t) => {
  const server = await startServer({ args: ['--handshake-rate', String(RATE)] });
  const later = kinds.filter(({ generation }) => ['1.3.7', '1.7.4', '2.5.0', '3.1.3', '4.8'].includes(generation));
  const peers = later.map((kind) => open(kind, server.url, { reconnect: true, timeout: 20_000 }));
  t.after(() => peers.forEach((peer) => peer.close()));
  const legacy = legacyKinds.map((kind) => joinLegacy(t, kind, server.url, { reconnect: true }));
  // After the peers are closed: they would look for it.
  t.after(() => server.stop());
  await Promise.all([...legacy, ...peers.map((peer) => eventually(`${peer.kind.name} is in`, () => peer.socket.connected))]);
});

test('a client that was refused comes back by itself', async (t) => {
  const server = await startServer({ args: ['--handshake-rate', String(RATE)] });
  const peers = [];
  for (const name of ['1.7.4 over polling', '2.5.0 over websocket', '4.8 over polling', '4.8 over websocket']) {
    const kind = kinds.find((kind) => kind.name === name);
    const peer = await join(kind, server.url, { reconnect: true });
    t.after(() => peer.close());
    peers.push(peer);
  }
  for (const kind of legacyKinds) peers.push(await joinLegacy(t, kind, server.url, { reconnect: true }));
  t.after(() => server.stop());
  await server.kill9();
  await server.restart();
  // Who takes all the places of the next ten seconds.
  const crowd = Array.from({ length: 20 * RATE }, () => send(server, 'GET', 'EIO=4&transport=polling').catch(() => {}));
  for (const peer of peers) {
    const isHere = () => (peer.isConnected ? peer.isConnected() : peer.socket.connected);
    await eventually(`${peer.kind.name} is back`, async () => isHere() && (await peer.request('message', 'back')), 60_000);
  }
  await Promise.all(crowd);
});
