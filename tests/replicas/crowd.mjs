// A crowd of old and new clients that post and read in one room, and what each of them got.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import { join as joinLater, kinds as laterKinds } from '../clients/generations.mjs';
import { eventually } from '../clients/harness.mjs';
import { join as joinLegacy, kinds as legacyKinds } from '../legacy/clients.mjs';

const KINDS = ['0.9.17 over xhr-polling', '1.7.4 over polling', '2.5.0 over polling', '4.8 over polling', '4.8 over upgrade', '1.7.4 over upgrade'];

/** `count` clients of all kinds in turn, in the room that all old pages meet in. */
export async function gather(t, count, url, options = {}) {
  const peers = [];
  // Not all at once: nobody waits longer than its library would.
  for (let i = 0; i < count; i += 50) {
    const some = Array.from({ length: Math.min(50, count - i) }, (_, n) => enter(t, KINDS[(i + n) % KINDS.length], url, options));
    peers.push(...(await Promise.all(some)));
  }
  // What was said before is not counted.
  for (const peer of peers) peer.messages.length = 0;
  return peers;
}

async function enter(t, name, url, options) {
  const legacy = legacyKinds.find((kind) => kind.name === name);
  if (legacy) return joinLegacy(t, legacy, url, options);
  const peer = await joinLater(laterKinds.find((kind) => kind.name === name), url, options);
  t.after(() => peer.close());
  return peer;
}

/** Has the peers post in turn, `rate` messages a second, until `seconds` have passed. Answers what was posted. */
export async function chat(peers, rate, seconds) {
  const texts = [];
  const began = performance.now();
  await eventually(
    'it is over',
    () => {
      const due = Math.min(rate * seconds, ((performance.now() - began) / 1000) * rate);
      while (texts.length < due) {
        const peer = peers[texts.length % peers.length];
        texts.push(`${texts.length} of ${peer.kind.name}`);
        peer.socket.emit('message', texts.at(-1));
      }
      return texts.length >= rate * seconds;
    },
    (seconds + 60) * 1000,
  );
  return texts;
}

/** Everybody got everything, once, in one order. */
export async function allGot(peers, texts, deadlineMs = 30_000) {
  for (const [i, peer] of peers.entries()) {
    await eventually(
      `peer ${i}, ${peer.kind.name}, is told all`,
      () => {
        if (peer.messages.length >= texts.length) return true;
        throw new Error(`${peer.messages.length} of ${texts.length}`);
      },
      deadlineMs,
    );
  }
  const expected = [...texts].sort();
  const order = digest(peers[0]);
  for (const [i, peer] of peers.entries()) {
    assert.deepEqual(peer.texts().sort(), expected, `what peer ${i}, ${peer.kind.name}, was told`);
    assert.equal(digest(peer), order, `the order that peer ${i}, ${peer.kind.name}, was told`);
  }
}

function digest(peer) {
  return createHash('sha256').update(peer.messages.map(({ id }) => id).join()).digest('hex');
}
