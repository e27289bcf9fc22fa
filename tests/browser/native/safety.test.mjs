// What people write is text wherever it is shown, in every script and at every length; the page fits a
// phone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, server } from './stage.mjs';
import { Visitor } from './visitor.mjs';

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

test('markup_in_text_name_and_room_is_shown_and_runs_nothing', async () => {
  const room = '<img src=x onerror=ran=1>room';
  const name = '<img src=x onerror=ran=1>';
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room });
  const eve = await Visitor.enter(browser, server.url, name, { room });
  const texts = ['<script>ran=1</script>', '<img src=x onerror="ran=1">', '<b>bold</b> &amp; "quoted"'];
  await eve.page.getByLabel('Message', { exact: true }).pressSequentially('<');
  await ana.page.locator('#typing', { hasText: name }).waitFor();
  for (const text of texts) await eve.write(text);
  for (const visitor of [ana, eve]) {
    await visitor.sees(texts);
    await visitor.page.locator('#people .person', { hasText: name }).waitFor();
    assert.equal(await visitor.page.locator('#room-name').textContent(), room);
    assert.equal(await visitor.page.locator('#messages .author').first().textContent(), name);
    assert.equal(await visitor.page.evaluate(() => typeof window.ran), 'undefined');
    const foreign = visitor.page.locator('.app :is(img:not([src="/favicon.svg"]), script, b, iframe)');
    assert.equal(await foreign.count(), 0);
    assert.deepEqual(visitor.errors, []);
  }
  await Promise.all([ana.leaves(), eve.leaves()]);
});

test('right_to_left_text_and_names_keep_their_direction_and_disturb_nothing', async () => {
  const ana = await Visitor.enter(browser, server.url, 'سارة', { room: 'rtl' });
  await ana.write('صباح الخير (p99)');
  await ana.write('left to right');
  await ana.sees(['صباح الخير (p99)', 'left to right']);
  const looks = await ana.page.locator('#messages .text').evaluateAll((all) => all.map((it) => getComputedStyle(it).direction));
  assert.deepEqual(looks, ['rtl', 'ltr']);
  const author = ana.page.locator('#messages .author').first();
  assert.equal(await author.evaluate((it) => getComputedStyle(it).unicodeBidi), 'isolate');
  const [name, time] = await Promise.all([author.boundingBox(), ana.page.locator('#messages .head time').first().boundingBox()]);
  assert.ok(name.x + name.width <= time.x, 'the time stands after the name');
  await ana.leaves();
});

test('a_word_of_ten_thousand_letters_breaks_no_layout', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'long', profile: PHONE });
  const word = 'w'.repeat(10_000);
  await ana.write(word);
  await ana.sees([word]);
  const { width } = await ana.page.locator('#messages .text').boundingBox();
  assert.ok(width <= 390, `${width} px wide`);
  assert.ok(await fits(ana), 'the page scrolls sideways');
  const unfold = ana.page.getByRole('button', { name: 'Show the whole message' });
  const folded = (await ana.page.locator('#messages .text').boundingBox()).height;
  await unfold.click();
  assert.ok((await ana.page.locator('#messages .text').boundingBox()).height > folded);
  assert.ok(await fits(ana), 'the page scrolls sideways');
  await ana.leaves();
});

test('the_length_limit_is_shown_before_it_is_hit_and_counts_bytes', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'limit' });
  const limit = await ana.page.evaluate(async () => {
    const socket = window.io('/chat', { forceNew: true });
    await new Promise((resolve) => socket.on('connect', resolve));
    const { maxText } = await socket.emitWithAck('hello', { name: 'Asker' });
    socket.disconnect();
    return maxText;
  });
  const box = ana.page.getByLabel('Message', { exact: true });
  await box.fill('é'.repeat(Math.floor((limit - 10) / 2)));
  await ana.page.locator('#length').filter({ hasText: /^1[01] bytes left$/ }).waitFor();
  await box.fill('x'.repeat(limit + 1));
  await ana.page.getByText('1 bytes too long').waitFor();
  assert.equal(await ana.page.getByRole('button', { name: 'Send' }).isDisabled(), true);
  await box.fill('short');
  await ana.page.locator('#length').waitFor({ state: 'hidden' });
  await ana.leaves();
});

test('on_a_phone_panels_slide_in_and_everything_is_in_reach', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'phone', profile: PHONE });
  assert.ok(await fits(ana), 'the page scrolls sideways');
  const box = await ana.page.locator('#composer').boundingBox();
  assert.ok(box.y + box.height <= 844 && box.x >= 0 && box.x + box.width <= 390, JSON.stringify(box));
  for (const locator of await ana.page.locator('.bar button:visible, #send').all()) {
    const { width, height } = await locator.boundingBox();
    assert.ok(width >= 44 && height >= 44, 'big enough for a finger');
  }

  const rooms = ana.page.getByRole('complementary', { name: 'Rooms' });
  assert.equal(await rooms.isVisible(), false);
  await ana.page.getByRole('button', { name: 'Rooms' }).tap();
  await rooms.waitFor();
  assert.equal(await ana.page.locator('#main').evaluate((it) => it.inert), true);
  await ana.page.getByLabel('Find or create a room').fill('pocket');
  await ana.page.getByRole('button', { name: 'Create' }).tap();
  await ana.page.locator('#room-name', { hasText: 'pocket' }).waitFor();
  await rooms.waitFor({ state: 'hidden' });

  await ana.page.getByRole('button', { name: 'People in this room' }).tap();
  const people = ana.page.getByRole('complementary', { name: 'People in this room' });
  await people.getByText('Ana', { exact: true }).waitFor();
  await ana.page.keyboard.press('Escape');
  await people.waitFor({ state: 'hidden' });
  assert.equal(await ana.page.evaluate(() => document.activeElement.id), 'open-people');
  await ana.leaves();
});

const fits = ({ page }) => page.evaluate(() => {
  const pages = [document.documentElement, document.body, document.getElementById('scroller')];
  return pages.every((it) => it.scrollWidth <= it.clientWidth);
});
