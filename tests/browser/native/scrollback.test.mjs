// Reading back: older messages come in above without a jump, new ones below without one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, server } from './stage.mjs';
import { Visitor, eventually, say } from './visitor.mjs';

const NOTES = Array.from({ length: 200 }, (_, index) => `note ${index + 1}`);

const distanceToEnd = ({ page }) => page.locator('#scroller').evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight);

/** Scrolls to this place and reports the entry in sight there, and where it stands. */
const scrollTo = ({ page }, top) => page.locator('#scroller').evaluate(async (scroller, wanted) => {
  scroller.scrollTop = wanted;
  const edge = scroller.getBoundingClientRect().top;
  const entry = [...document.querySelectorAll('#messages .entry')].find((it) => it.getBoundingClientRect().bottom > edge);
  const text = entry.querySelector('.text').getBoundingClientRect();
  return { id: entry.dataset.id, top: text.top };
}, top);

const placeOf = ({ page }, id) => page.locator(`#messages .entry[data-id="${id}"] .text`).evaluate((it) => it.getBoundingClientRect().top);

test('scrolling_up_brings_in_older_messages_without_a_jump_down_to_the_first', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'back' });
  await say(ana, 'back', NOTES);
  await ana.page.reload();
  await ana.connected();
  await ana.page.locator('#messages .text', { hasText: 'note 200' }).waitFor();
  await eventually('it starts at the end', async () => assert.ok(await distanceToEnd(ana) <= 1));

  for (;;) {
    const first = (await ana.texts())[0];
    if (first === NOTES[0]) break;
    const anchor = await scrollTo(ana, 20);
    await eventually('older messages come in', async () => assert.notEqual((await ana.texts())[0], first));
    assert.ok(Math.abs(await placeOf(ana, anchor.id) - anchor.top) <= 1, `${anchor.id} jumped`);
  }
  await ana.sees(NOTES);
  await ana.page.locator('#beginning', { hasText: 'begins' }).waitFor();
  assert.deepEqual(ana.errors, []);
  await ana.leaves();
});

test('what_grows_before_a_scroll_is_told_of_does_not_end_the_following', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'growing' });
  await say(ana, 'growing', NOTES.slice(0, 80));
  await ana.page.locator('#messages .text', { hasText: 'note 80' }).waitFor();
  await eventually('it is at the end', async () => assert.ok(await distanceToEnd(ana) <= 1));
  await ana.page.evaluate(() => {
    document.querySelector('#messages').lastElementChild.style.paddingBottom = '300px';
    document.querySelector('#scroller').dispatchEvent(new Event('scroll'));
  });
  await eventually('it is at the end again', async () => assert.ok(await distanceToEnd(ana) <= 1));
  await ana.leaves();
});

test('who_reads_back_is_told_of_new_messages_and_not_moved', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'pill' });
  await say(ana, 'pill', NOTES.slice(0, 80));
  await ana.page.locator('#messages .text', { hasText: 'note 80' }).waitFor();
  const anchor = await scrollTo(ana, 700);
  await ana.page.getByRole('button', { name: 'Newest' }).waitFor();
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'pill' });
  await ben.write('you up there');
  await ben.write('come down');
  const pill = ana.page.getByRole('button', { name: '2 new messages' });
  await pill.waitFor();
  assert.ok(Math.abs(await placeOf(ana, anchor.id) - anchor.top) <= 1, 'the reader was moved');
  await pill.click();
  await eventually('the end is shown', async () => assert.ok(await distanceToEnd(ana) <= 1));
  await pill.waitFor({ state: 'hidden' });
  assert.deepEqual((await ana.texts()).slice(-2), ['you up there', 'come down']);
  await Promise.all([ana.leaves(), ben.leaves()]);
});
