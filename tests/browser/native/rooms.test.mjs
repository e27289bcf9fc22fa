// Several rooms: unread counts, links, leaving, and all of it by keyboard.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, server } from './stage.mjs';
import { Visitor, eventually, say } from './visitor.mjs';

test('messages_in_another_room_are_counted_until_they_are_read', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'near' });
  await ana.openRoom('far');
  await ana.openRoom('near');
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'far' });
  for (const text of ['one', 'two', 'three']) await ben.write(text);
  await ana.roomItem('far').locator('.count', { hasText: '3' }).waitFor();
  await eventually('the title says it', async () => assert.match(await ana.page.title(), /^\(3\) near/));
  await ana.roomItem('far').click();
  await ana.sees(['one', 'two', 'three']);
  await ana.page.locator('#messages .unread-line').waitFor();
  await eventually('nothing is unread', async () => assert.equal(await ana.page.locator('.room-item .count').count(), 0));
  await Promise.all([ana.leaves(), ben.leaves()]);
});

test('what_was_unread_before_a_reload_is_unread_after_it_and_no_more', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'second' });
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'second' });
  await ben.write('read');
  await ana.sees(['read']);
  await ana.openRoom('first');
  await ben.write('unread');
  await ana.roomItem('second').locator('.count', { hasText: '1' }).waitFor();
  await ana.page.reload();
  await ana.connected();
  await ana.roomItem('second').locator('.count', { hasText: '1' }).waitFor();
  await Promise.all([ana.leaves(), ben.leaves()]);
});

test('a_link_opens_its_room_and_the_address_follows_the_room', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'coffee & cake/מטבח' });
  assert.equal(await ana.page.locator('#room-name').textContent(), 'coffee & cake/מטבח');
  await ana.openRoom('other');
  assert.equal(new URL(ana.page.url()).hash, '#other');
  await ana.page.goBack();
  await ana.page.locator('#room-name', { hasText: 'coffee & cake/מטבח' }).waitFor();
  await ana.leaves();
});

test('who_leaves_a_room_is_gone_from_it_and_hears_it_no_more', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'stay' });
  await ana.openRoom('go');
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'go' });
  await ben.page.locator('#people .person', { hasText: 'Ana' }).waitFor();
  await ana.page.getByRole('button', { name: 'Leave this room' }).click();
  await ana.page.locator('#room-name', { hasText: 'stay' }).waitFor();
  await ben.page.locator('#people .person', { hasText: 'Ana' }).waitFor({ state: 'detached' });
  await ben.write('anybody?');
  await ben.sees(['anybody?']);
  assert.equal(await ana.roomItem('go').count(), 0);
  await ana.page.reload();
  await ana.connected();
  assert.equal(await ana.roomItem('go').count(), 0);
  await ana.page.getByRole('button', { name: 'Leave this room' }).click();
  await ana.page.getByRole('heading', { name: 'You are in no room' }).waitFor();
  await eventually('what comes next has the focus', async () =>
    assert.equal(await ana.page.getByRole('button', { name: 'Find a room' }).evaluate((it) => it === document.activeElement), true));
  await eventually('nothing is headed that is not there', async () =>
    assert.equal(await ana.page.getByRole('heading', { name: 'Your rooms' }).isVisible(), false));
  await Promise.all([ana.leaves(), ben.leaves()]);
});

test('a_room_with_the_longest_name_leaves_the_box_as_high_as_any', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'short', profile: { viewport: { width: 360, height: 740 } } });
  const box = ana.page.getByLabel('Message', { exact: true });
  const { height } = await box.boundingBox();
  await ana.page.goto(`${server.url}/#${'W'.repeat(64)}`);
  await ana.page.locator('#room-name', { hasText: 'WWWW' }).waitFor();
  assert.equal((await box.boundingBox()).height, height);
  await ana.leaves();
});

test('when_somebody_goes_on_the_time_is_shown_whole_beside_it', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'times', profile: { locale: 'en-US', timezoneId: 'UTC' } });
  await say(ana, 'times', ['one', 'two']);
  await ana.sees(['one', 'two']);
  const time = ana.page.locator('.goes-on time');
  // The widest there is.
  await time.evaluate((it) => (it.textContent = '12:58 PM'));
  assert.equal(await time.evaluate((it) => it.scrollWidth <= it.clientWidth), true);
  await ana.leaves();
});

test('everything_can_be_done_from_the_keyboard', async () => {
  const ana = await Visitor.arrive(browser, server.url, { room: 'keys' });
  const { keyboard } = ana.page;
  const focused = () => ana.page.evaluate(() => document.activeElement.id);
  await ana.page.locator('#name-dialog[open]').waitFor();
  await keyboard.type('Ana');
  await keyboard.press('Enter');
  await ana.connected();
  assert.equal(await focused(), 'text');
  await keyboard.type('first line');
  await keyboard.press('Shift+Enter');
  await keyboard.type('second line');
  await keyboard.press('Enter');
  await ana.sees(['first line\nsecond line']);

  await keyboard.press('Control+k');
  assert.equal(await focused(), 'room-input');
  await keyboard.type('made by hand');
  await keyboard.press('Enter');
  await ana.page.locator('#room-name', { hasText: 'made by hand' }).waitFor();
  assert.equal(await focused(), 'text');
  await keyboard.press('Alt+ArrowUp');
  await ana.page.locator('#room-name', { hasText: 'keys' }).waitFor();

  // The way back through the page: text box, messages, leaving.
  await keyboard.press('Shift+Tab');
  assert.equal(await focused(), 'scroller');
  await keyboard.press('Shift+Tab');
  assert.equal(await focused(), 'leave');
  const outline = await ana.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid');
  await keyboard.press('Enter');
  await ana.page.locator('#room-name', { hasText: 'made by hand' }).waitFor();
  await ana.leaves();
});
