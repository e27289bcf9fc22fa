// The same raw requests and packets to socket.io 4.8 and to us. What comes back is the same, or the table in
// docs/conformance.md says how it differs and why. A row whose difference is gone, or has changed, fails as well.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startConformance, startServer } from '../clients/harness.mjs';
import * as handshakes from './cases/handshakes.mjs';
import { groups as origins } from './cases/origins.mjs';
import * as packets from './cases/packets.mjs';
import * as polling from './cases/polling.mjs';
import * as timing from './cases/timing.mjs';
import * as websockets from './cases/websockets.mjs';
import { mountClients, startNode } from './node.mjs';
import { Recorder, Refused } from './recorder.mjs';
import { difference, readTable, row } from './table.mjs';

const GROUPS = [handshakes, polling, websockets, packets, ...origins, timing];
const SHORT_TIMES = { pingInterval: 300, pingTimeout: 200, connectTimeout: 1000 };
const ORIGIN = 'http://a.example';

/** Servers of both kinds with the same settings: for each target the address of Node's and of ours. */
const targets = {};
const stops = [];
const table = readTable();

before(async () => {
  const conformance = await startConformance();
  stops.push(conformance.stop);
  const node = async (options, mount) => {
    const server = await startNode(options, mount);
    stops.push(server.stop);
    return server.url;
  };
  const ours = async (...args) => {
    const server = await startServer({ args });
    stops.push(server.stop);
    return server.url;
  };
  targets.plain = { node: await node({}), ours: await ours() };
  targets.oneOrigin = { node: await node({ cors: { origin: [ORIGIN], credentials: true } }), ours: await ours('--cors-origin', ORIGIN) };
  targets.anyOrigin = { node: await node({ cors: { origin: true, credentials: true } }), ours: await ours('--cors-origin', '*') };
  targets.events = { node: await node({ pingInterval: 2000, pingTimeout: 20_000 }, mountClients), ours: conformance.clients };
  targets.shortTimes = { node: await node(SHORT_TIMES), ours: conformance.suite };
});
after(() => Promise.all(stops.map((stop) => stop())));

for (const { target, cases } of GROUPS) {
  describe(target, { concurrency: 8 }, () => {
    for (const [id, run] of Object.entries(cases)) {
      test(id, async () => {
        const [node, ours] = await Promise.all(['node', 'ours'].map((side) => transcript(targets[target][side], run)));
        compare(id, node, ours);
      });
    }
  });
}

test('every row of the table is about a case', () => {
  const ids = GROUPS.flatMap(({ cases }) => Object.keys(cases));
  assert.equal(new Set(ids).size, ids.length, 'two cases have one name');
  for (const id of table.keys()) assert.ok(ids.includes(id), `docs/conformance.md has a row for ${id}, which is no case`);
});

async function transcript(url, run) {
  const to = new Recorder(url);
  try {
    await run(to);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  } finally {
    to.close();
  }
  return to.lines;
}

function compare(id, node, ours) {
  assert.ok(node.length > 0, 'nothing was noted of Node');
  const differs = difference(node, ours);
  const known = table.get(id);
  const told = `Node:\n  ${node.join('\n  ')}\nours:\n  ${ours.join('\n  ')}`;
  if (!differs) {
    assert.ok(!known, `${id} does not differ any more: take its row out of docs/conformance.md\n${told}`);
  } else if (!known) {
    assert.fail(`${id} differs, and docs/conformance.md does not say why. Its row would be\n${row(id, differs, 'WHY')}\n${told}`);
  } else {
    const { node, ours, why } = known;
    assert.ok(why, `${id} has no reason in docs/conformance.md`);
    assert.deepEqual({ node, ours }, differs, `${id} differs in another way than docs/conformance.md says. Its row would be\n${row(id, differs, why)}\n${told}`);
  }
}
