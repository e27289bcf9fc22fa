// A crowd of old and new clients that post and read in one room, and what each of them got. As a page that has its
// library from the server, each asks for what it missed when it comes back.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { join as joinLater, kinds as laterKinds } from '../clients/generations.mjs';
import { eventually } from '../clients/harness.mjs';
import { join as joinLegacy, kinds as legacyKinds } from '../legacy/clients.mjs';

const KINDS = ['0.9.17 over xhr-polling', '1.7.4 over polling', '2.5.0 over polling', '4.8 over polling', '4.8 over upgrade', '1.7.4 over upgrade'];

// What the server adds to the libraries that it serves.
const addition = new Function('window', readFileSync(new URL('../../src/transport/web/library/catch-up.js', import.meta.url), 'utf8'));
for (const [folder, generations] of [['../clients/', ['1.7.4', '2.5.0', '4.8']], ['../legacy/', ['0.9.17']]]) {
  const require = createRequire(new URL(folder, import.meta.url));
  for (const generation of generations) addition({ io: require(`socket.io-client-${generation}`) });
}

/** `count` clients of all kinds in turn, in the room that all old pages meet in. */
export async function gather(t, count, url) {
  const peers = [];
  // Not all at once: nobody waits longer than its library would.
  for (let i = 0; i < count; i += 50) {
    const some = Array.from({ length: Math.min(50, count - i) }, (_, n) => enter(t, KINDS[(i + n) % KINDS.length], url));
    peers.push(...(await Promise.all(some)));
  }
  // So that everybody has an id to come back with.
  const { id } = await say(peers[0], 'everybody is here');
  for (const peer of peers) {
    await eventually(`${peer.kind.name} is told`, () => peer.messages.some((message) => message.id === id));
    peer.messages.length = 0;
  }
  return peers;
}

async function enter(t, name, url) {
  const legacy = legacyKinds.find((kind) => kind.name === name);
  const later = laterKinds.find((kind) => kind.name === name);
  const peer = legacy ? await joinLegacy(t, legacy, url, { reconnect: true }) : await joinLater(later, url, { reconnect: true });
  if (later) t.after(() => peer.close());
  peer.isHere = legacy ? peer.isConnected : () => peer.socket.connected;
  // How long it was away, each time.
  peer.absences = [];
  let left;
  peer.socket.on('disconnect', () => (left ??= performance.now()));
  peer.socket.on('connect', () => {
    if (left !== undefined) peer.absences.push(performance.now() - left);
    left = undefined;
  });
  return peer;
}

/** Posts until it is acknowledged. What was posted to a session that died may have been kept all the same. */
async function say(peer, text) {
  for (let tries = 0; tries < 20; tries += 1) {
    await eventually('it is here', () => peer.isHere());
    const times = peer.absences.length;
    let id;
    peer.socket.emit('message', text, (given) => (id = given));
    await eventually('it is answered, or was away', () => id !== undefined || !peer.isHere() || peer.absences.length > times);
    if (id !== undefined) return { id };
  }
  throw new Error(`${peer.kind.name} could not post`);
}

/**
 * Has the peers post in turn, `rate` messages a second, until `seconds` have passed. `events` are `[second, what to
 * do]`. Answers the ids of what was acknowledged.
 */
export async function chat(peers, rate, seconds, events = []) {
  const acknowledged = new Set();
  const doings = [];
  const waiting = [...events];
  const began = performance.now();
  let posted = 0;
  await eventually(
    'it is over',
    () => {
      const passed = (performance.now() - began) / 1000;
      while (waiting.length > 0 && waiting[0][0] <= passed) doings.push(waiting.shift()[1]());
      while (posted < Math.min(rate * seconds, passed * rate)) {
        const peer = peers[posted % peers.length];
        peer.socket.emit('message', `${posted} of ${peer.kind.name}`, (id) => acknowledged.add(id));
        posted += 1;
      }
      return passed >= seconds && waiting.length === 0;
    },
    (seconds + 60) * 1000,
  );
  await Promise.all(doings);
  const allAre = () => acknowledged.size === posted;
  if (events.length === 0) await eventually('all is acknowledged', allAre);
  // Those that were under way when a session died are never acknowledged.
  else await eventually('all is acknowledged', allAre, 15_000).catch(() => {});
  return { posted, acknowledged };
}

/** Everybody was told everything, once, in one order. Answers how many messages that were. */
export async function allWereTold(peers, acknowledged, deadlineMs = 60_000) {
  const { id } = await say(peers[0], 'that was all');
  const [first] = peers;
  const has = (peer) => peer.messages.some((message) => message.id === id);
  // What others posted may come after it, however late they were heard.
  for (const [i, peer] of peers.entries()) {
    await eventually(`peer ${i}, ${peer.kind.name}, is told all`, () => has(peer) && has(first) && digest(peer) === digest(first), deadlineMs).catch(
      (error) => {
        explain(peer, first, `peer ${i}, ${peer.kind.name}`);
        throw error;
      },
    );
  }
  for (const [i, peer] of peers.entries()) explain(peer, first, `peer ${i}, ${peer.kind.name}`);
  const told = new Set(first.messages.map((message) => message.id));
  assert.deepEqual([...acknowledged].filter((id) => !told.has(id)), [], 'acknowledged and lost');
  return told.size - 1;
}

/** Fails with what one peer was told otherwise than another. */
function explain(peer, other, who) {
  const ids = peer.messages.map((message) => message.id);
  assert.equal(new Set(ids).size, ids.length, `${who}, was told something twice`);
  const missing = other.messages.filter((message) => !ids.includes(message.id));
  assert.deepEqual(missing, [], `what ${who}, was not told`);
  assert.equal(digest(peer), digest(other), `the order that ${who}, was told`);
}

/** How long peers were away: `p50`, `p95`, `most` in milliseconds, and how often. */
export function absences(peers) {
  const all = peers.flatMap((peer) => peer.absences).sort((a, b) => a - b);
  const at = (share) => Math.round(all[Math.min(all.length - 1, Math.floor(all.length * share))] ?? 0);
  return { times: all.length, p50: at(0.5), p95: at(0.95), most: at(1) };
}

function digest(peer) {
  return createHash('sha256').update(peer.messages.map(({ id }) => id).join()).digest('hex');
}
