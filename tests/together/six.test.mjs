// Six front ends of five chats in one lobby: what is typed in one is seen in all, in one order, each in its own words.
// On one server, and spread over three replicas.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually, startServer } from '../clients/harness.mjs';
import { fronts, openAll } from './fronts.mjs';
import { startThree } from './three.mjs';

/** What each says at once with all others, besides what could run or break something. */
const STORM = 20;
const ODD = [
  '<script>window.ran = 1</script>',
  '<img src=x onerror="window.ran = 1">',
  '&lt;b&gt; &#60; &amp; & <',
  '"quoted", \'too\', \\ back\nand on the next line',
  'grüße ✓😀 \u2028 \ufffd5\ufffd3::x',
];

const SERVER = ['--time-zone', 'UTC'];

test('what is typed in one front end is seen in all six, in one order, each in its own words', async (t) => {
  const server = await startServer({ args: SERVER });
  t.after(() => server.stop());
  await allSeeAll(await openAll(t, () => server));
});

for (const { where, at } of [
  { where: 'each on another of three replicas', at: ({ replicas }) => (name) => replicas[fronts.findIndex((front) => front.name === name) % 3] },
  { where: 'behind a balancer that gives each request to the next of three replicas', at: ({ balancer }) => () => balancer },
]) {
  test(`and so it is ${where}`, async (t) => await allSeeAll(await openAll(t, at(await startThree(t, SERVER)))));
}

/** Has all say everything, in turn and all at once, and looks at what each was told. */
async function allSeeAll(opened) {
  const said = [];
  const say = (front, text) => {
    said.push({ author: front.author, text });
    front.say(text);
  };
  const allAreTold = () => eventually('all are told all', () => {
    const counts = opened.map(({ name, told }) => `${name}: ${told().length}`);
    if (opened.every(({ told }) => told().length >= said.length)) return true;
    throw new Error(`of ${said.length}: ${counts.join(', ')}`);
  }, 60_000);

  for (const front of opened) {
    say(front, `${front.name} here, by ${front.author}, to Ann <b> and Rob & <i>`);
    await allAreTold();
  }
  for (const text of ODD) for (const front of opened) say(front, text);
  for (let n = 0; n < STORM; n += 1) for (const front of opened) say(front, `${n} of ${front.name}`);
  await allAreTold();

  const order = opened.find(({ name }) => name === 'native').told();
  const pairs = (messages) => messages.map(({ author, text }) => JSON.stringify([author, text]));
  assert.deepEqual(pairs(order).toSorted(), pairs(said).toSorted());
  // What one says keeps its order.
  for (const { author } of fronts) {
    const own = (messages) => pairs(messages.filter((message) => message.author === author));
    assert.deepEqual(own(order), own(said));
  }
  for (const { name, told, words } of opened) {
    assert.deepEqual(told(), order.map(words), `${name} was told something else`);
  }
}
