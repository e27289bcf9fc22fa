// Many people who say something in turn, at a steady rate, while others change the servers below them.

import { eventually } from '../clients/harness.mjs';

/** How many people, how much they say a second, and for how long at least. */
export const CLIENTS = Number(process.env.NEIGHBOURS_CLIENTS ?? 50);
export const RATE = Number(process.env.NEIGHBOURS_RATE ?? 20);
export const SECONDS = Number(process.env.NEIGHBOURS_SECONDS ?? 6);

const TICK_MS = 1000 / RATE;

/**
 * Each of `people` in turn says something different, who `isHere`; the others are passed over. `passes(share)` waits until
 * that part of the time is over, `stop()` answers how much was said.
 */
export function startLoad(people) {
  let turn = 0;
  let said = 0;
  const timer = setInterval(() => {
    for (let tried = 0; tried < people.length; tried += 1) {
      const person = people[turn++ % people.length];
      if (!person.isHere()) continue;
      person.say(`message ${said++}`);
      return;
    }
  }, TICK_MS);
  const stop = () => (clearInterval(timer), said);
  const passes = (share) =>
    eventually('the load goes on', () => said >= share * SECONDS * RATE, (SECONDS + 60) * 1000);
  return { passes, stop };
}

/** What is in the list more than once. */
export function twice(list) {
  const seen = new Set();
  return list.filter((each) => seen.has(each) || !seen.add(each));
}

/** What of the first is not in the second. */
export function without(all, some) {
  const there = new Set(some);
  return [...all].filter((each) => !there.has(each));
}

/** Says what is missing, where not all of the first are in the second. */
export function isIn(some, all) {
  const missing = without(some, all);
  if (missing.length > 0) throw new Error(`${missing.length} are missing: ${missing.slice(0, 5).join(', ')}`);
  return true;
}
