// Who hears whom: everybody says something, and everybody must have been told it, once.

import assert from 'node:assert/strict';

import { eventually } from '../clients/harness.mjs';

/** Somebody at each of the servers. */
export const enterAll = (t, front, servers, brokers) =>
  Promise.all(servers.map((server, i) => front.enter(t, server, `person-${i}`, brokers)));

/**
 * Everybody says something, twice. Buses and logs keep the order, so when the second round has been told, the first has, as
 * often as it ever will be.
 */
export async function allHearAllOnce(people) {
  const said = [];
  // What was said before is told to newcomers as well.
  const now = `at ${performance.now()}`;
  const told = (person) => person.heard().filter(({ text }) => text.endsWith(now)).map((message) => JSON.stringify(message));
  for (const round of ['first', 'second']) {
    for (const [i, person] of people.entries()) said.push(JSON.stringify(await person.say(`the ${round} of ${i} ${now}`)));
    for (const [i, person] of people.entries()) {
      await eventually(`${i} is told everything of the ${round} round`, () => includes(told(person), said));
    }
  }
  for (const [i, person] of people.entries()) {
    assert.deepEqual(told(person).sort(), [...said].sort(), `what ${i} was told`);
  }
}

function includes(heard, said) {
  const missing = said.filter((message) => !heard.includes(message));
  if (missing.length > 0) throw new Error(`not told: ${missing.join(' ')}, but ${heard.join(' ')}`);
  return true;
}
