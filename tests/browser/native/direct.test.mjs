// Direct messages on our own page: for whoever an application signed in, with counts of what is unread and marks of
// what was delivered and read; for nobody else.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openBrowser } from '../../clients/browser.mjs';
import { startServer } from '../../clients/harness.mjs';
import { inSeconds, token } from '../../tokens/signing.mjs';
import { Visitor, eventually } from './visitor.mjs';

const KEY = 'a secret of the application, long enough';
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

let server;
let browser;

before(async () => {
  server = await startServer({ args: ['--jwt-secret', KEY, '--jwt-grace', '0s'] });
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const address = (given, room = 'lobby') => `${server.url}/#token=${given}&room=${encodeURIComponent(room)}`;

/** Comes from the application, which signed them in. */
async function signIn(user, name, { profile = {}, room, claims = {} } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...profile });
  const visitor = new Visitor(await context.newPage(), server.url);
  await visitor.page.goto(address(token({ sub: user, name, ...claims }, { key: KEY }), room));
  await visitor.phase('online');
  return visitor;
}

const conversation = (visitor, title) =>
  visitor.page.locator('.direct-item').filter({ has: visitor.page.locator('.direct-words bdi').getByText(title, { exact: true }) });
const unread = (visitor, title, count) => conversation(visitor, title).locator('.count', { hasText: String(count) }).waitFor();
const marks = ({ page }) => page.locator('#messages .mark:not([hidden])').allTextContents();

async function writeTo(visitor, user) {
  await visitor.page.getByLabel('Find or create a room').fill(`@${user}`);
  await visitor.page.getByRole('button', { name: 'Write', exact: true }).waitFor();
  await visitor.page.getByLabel('Find or create a room').press('Enter');
}

test('the_token_leaves_the_address_and_lasts_as_long_as_the_tab', async () => {
  const ann = await signIn('ann-1', 'Ann', { room: 'kitchen' });
  assert.equal(ann.page.url(), `${server.url}/#kitchen`);
  assert.equal(await ann.page.locator('#me-name').textContent(), 'Ann');
  await ann.page.getByRole('heading', { name: 'Direct messages' }).waitFor();
  await ann.page.goBack().catch(() => {});
  assert.ok(!ann.page.url().includes('token'), ann.page.url());
  await ann.page.goto(`${server.url}/#kitchen`);
  await ann.page.reload();
  await ann.connected();
  await ann.page.getByRole('heading', { name: 'Direct messages' }).waitFor();
  assert.equal(await ann.page.evaluate(() => JSON.stringify(localStorage).includes('eyJ')), false);
  const other = new Visitor(await ann.page.context().newPage(), server.url);
  await other.page.goto(server.url);
  await other.page.getByLabel('Your name', { exact: true }).waitFor();
  assert.deepEqual(ann.errors, []);
  await ann.leaves();
});

test('two_people_write_to_each_other_and_see_what_was_delivered_and_read', async () => {
  const ann = await signIn('ann-2', 'Ann', { room: 'two' });
  const bob = await signIn('bob-2', 'Bob', { room: 'two' });
  const eve = await signIn('eve-2', 'Eve', { room: 'two' });
  await ann.page.getByRole('button', { name: 'Write to Bob' }).click();
  assert.equal(await ann.page.locator('#room-name').textContent(), 'Bob');
  assert.equal(new URL(ann.page.url()).hash, '#%40bob-2');
  await ann.write('one');
  await ann.write('two');
  await unread(bob, 'Ann', 2);
  await eventually('the title counts', async () => assert.match(await bob.page.title(), /^\(2\) two/));
  await eventually('both were delivered', async () => assert.deepEqual(await marks(ann), ['Delivered']));

  await conversation(bob, 'Ann').click();
  await bob.sees(['one', 'two']);
  await bob.page.locator('#messages .unread-line').waitFor();
  await eventually('both were read', async () => assert.deepEqual(await marks(ann), ['Read']));
  assert.equal(await bob.page.locator('.direct-item .count').count(), 0);
  await bob.write('three');
  await ann.sees(['one', 'two', 'three']);
  await ann.write('four');
  await bob.sees(['one', 'two', 'three', 'four']);
  await eventually('what is in sight is read at once', async () => assert.deepEqual(await marks(ann), ['Read']));
  assert.equal(await eve.page.locator('.direct-item').count(), 0);
  for (const each of [ann, bob, eve]) {
    assert.deepEqual(each.errors, []);
    await each.leaves();
  }
});

test('who_was_away_finds_what_was_written_and_another_tab_of_theirs_follows', async () => {
  const ann = await signIn('ann-3', 'Ann', { room: 'away' });
  await writeTo(ann, 'bob-3');
  await ann.write('are you there?');
  await eventually('it is sent', async () => assert.deepEqual(await marks(ann), ['Sent']));
  const bob = await signIn('bob-3', 'Bob', { room: 'away' });
  const tab = await signIn('bob-3', 'Bob', { room: 'away' });
  for (const each of [bob, tab]) await unread(each, 'Ann', 1);
  await eventually('it is delivered', async () => assert.deepEqual(await marks(ann), ['Delivered']));
  await conversation(bob, 'Ann').click();
  await bob.sees(['are you there?']);
  await eventually('the other tab knows', async () => assert.equal(await tab.page.locator('.direct-item .count').count(), 0));
  await bob.write('yes');
  await conversation(tab, 'Ann').click();
  await tab.sees(['are you there?', 'yes']);
  await bob.page.reload();
  await conversation(bob, 'Ann').waitFor();
  await bob.sees(['are you there?', 'yes']);
  assert.equal(await bob.page.locator('.direct-item .count').count(), 0, 'what was read stays read');
  await eventually('his mark is there as well', async () => assert.deepEqual(await marks(bob), ['Read']));
  for (const each of [ann, bob, tab]) await each.leaves();
});

test('an_outage_loses_nothing_and_shows_nothing_twice', async () => {
  const own = await startServer({ args: ['--jwt-secret', KEY] });
  try {
    const enter = async (user, name) => {
      const visitor = new Visitor(await (await browser.newContext()).newPage(), own.url);
      await visitor.page.goto(`${own.url}/#token=${token({ sub: user, name }, { key: KEY })}&room=x`);
      await visitor.phase('online');
      return visitor;
    };
    const [ann, bob] = [await enter('ann', 'Ann'), await enter('bob', 'Bob')];
    await writeTo(ann, 'bob');
    await ann.write('before');
    await conversation(bob, 'Ann').click();
    await bob.sees(['before']);
    await own.kill9();
    await ann.phase('reconnecting');
    await ann.write('meanwhile 1');
    await ann.write('meanwhile 2');
    await own.restart();
    for (const each of [ann, bob]) {
      await each.phase('online');
      await each.sees(['before', 'meanwhile 1', 'meanwhile 2']);
    }
    await eventually('nothing waits', async () => assert.deepEqual(await ann.waiting(), []));
    for (const each of [ann, bob]) await each.leaves();
  } finally {
    await own.stop();
  }
});

test('what_people_write_and_call_themselves_is_text_in_every_direction', async () => {
  const markup = '<img src=x onerror=ran=1>';
  const ann = await signIn('<b>ann</b>', markup, { room: 'markup' });
  const sara = await signIn('sara-5', 'سارة', { room: 'markup', profile: { colorScheme: 'dark' } });
  await ann.page.getByRole('button', { name: 'Write to سارة' }).click();
  const texts = ['<script>ran=1</script>', '😀 👩‍👩‍👧‍👦', 'صباح الخير (p99)'];
  for (const text of texts) await ann.write(text);
  await conversation(sara, markup).click();
  await sara.sees(texts);
  const looks = await sara.page.locator('#messages .text').evaluateAll((all) => all.map((it) => getComputedStyle(it).direction));
  assert.deepEqual(looks, ['ltr', 'ltr', 'rtl']);
  assert.equal(await sara.page.locator('.direct-words bdi').textContent(), markup);
  for (const each of [ann, sara]) {
    assert.equal(await each.page.evaluate(() => typeof window.ran), 'undefined');
    assert.equal(await each.page.locator('.app :is(img:not([src="/favicon.svg"]), script, b, iframe)').count(), 0);
    assert.deepEqual(each.errors, []);
    await each.leaves();
  }
});

test('without_a_token_there_is_nothing_of_it_and_a_room_may_be_called_anything', async () => {
  const ann = await Visitor.enter(browser, server.url, 'Ann', { room: 'plain' });
  const bob = await signIn('bob-6', 'Bob', { room: 'plain' });
  await ann.page.locator('#people .person', { hasText: 'Bob' }).waitFor();
  assert.equal(await ann.page.getByRole('heading', { name: 'Direct messages' }).isVisible(), false);
  assert.equal(await ann.page.getByRole('button', { name: /^Write to/ }).count(), 0);
  assert.equal(await ann.page.locator('#people .user').textContent(), '@bob-6', 'who is signed in is told to all');
  assert.equal(await ann.page.locator('#people .user').getAttribute('title'), '@bob-6', 'though it may be long');
  const asides = (name) => ann.page.locator('#people li', { has: ann.page.locator('.person').getByText(name, { exact: true }) }).locator('.aside').allTextContents();
  assert.deepEqual([await asides('Ann'), await asides('Bob')], [['guest', 'you'], []], 'who proved nothing is marked where somebody did');
  await ann.openRoom('@bob-6');
  await ann.write('this is a room');
  await ann.sees(['this is a room']);
  assert.equal(await bob.page.locator('.direct-item').count(), 0);
  for (const each of [ann, bob]) await each.leaves();
});

test('a_token_that_is_refused_or_runs_out_is_told_and_the_rooms_stay', async () => {
  const ann = await Visitor.enter(browser, server.url, 'Ann', { room: 'stay' });
  await ann.page.goto(address(token({ sub: 'ann', exp: inSeconds(-1) }, { key: KEY }), 'stay'));
  await ann.page.getByRole('alert').getByText(/not signed in any more: the token has expired/).waitFor();
  await ann.connected();
  assert.equal(await ann.page.getByRole('heading', { name: 'Direct messages' }).isVisible(), false);

  const bob = await signIn('bob-7', 'Bob', { room: 'stay', claims: { exp: inSeconds(4) } });
  await bob.page.getByRole('alert').getByText(/not signed in any more: the token has expired/).waitFor();
  await bob.page.getByLabel('Your name', { exact: true }).fill('Just Bob');
  await bob.page.getByRole('button', { name: 'Continue' }).click();
  await bob.connected();
  assert.equal(await bob.page.getByRole('heading', { name: 'Direct messages' }).isVisible(), false);
  await bob.write('still here');
  await ann.sees(['still here']);
  for (const each of [ann, bob]) await each.leaves();
});

test('what_somebody_wrote_goes_out_in_their_name_or_not_at_all', async () => {
  const watcher = await Visitor.enter(browser, server.url, 'Watcher', { room: 'desk' });
  const bob = await signIn('bob-9', 'Bob', { room: 'desk' });
  const desk = await signIn('ann-9', 'Ann', { room: 'desk' });
  const { page } = desk;
  const comesAs = async (user, name) => {
    await page.goto(address(token({ sub: user, name }, { key: KEY }), 'desk'));
    await desk.phase('online');
    await eventually('the name is shown', async () => assert.equal(await page.locator('#me-name').textContent(), name));
  };
  await page.context().setOffline(true);
  await desk.phase('offline');
  await desk.write("ann's, to all");
  await writeTo(desk, 'bob-9');
  await desk.write("ann's, to Bob");
  assert.deepEqual(await desk.waiting(), ["ann's, to Bob"]);
  await page.goto('about:blank');
  await page.context().setOffline(false);

  await comesAs('eve-9', 'Eve');
  await desk.write("eve's, to all");
  // One after the other in each room: had the first gone out, it would come first.
  await watcher.sees(["eve's, to all"]);
  assert.deepEqual(await desk.waiting(), []);
  assert.equal(await page.locator('.direct-item').count(), 0, 'whom Ann wrote to is hers to know');
  await writeTo(desk, 'bob-9');
  await desk.write("eve's, to Bob");
  await conversation(bob, 'Eve').click();
  await bob.sees(["eve's, to Bob"]);

  await page.goto('about:blank');
  await comesAs('ann-9', 'Ann');
  await watcher.sees(["eve's, to all", "ann's, to all"]);
  const authors = await watcher.page.locator('#messages .author').allTextContents();
  assert.deepEqual(authors, ['Eve', 'Ann']);
  await conversation(bob, 'Ann').click();
  await bob.sees(["ann's, to Bob"]);
  for (const each of [watcher, bob, desk]) {
    assert.deepEqual(each.errors, []);
    await each.leaves();
  }
});

test('what_was_written_while_signed_in_waits_when_the_token_runs_out_before_it_is_sent', async () => {
  const watcher = await Visitor.enter(browser, server.url, 'Watcher', { room: 'late' });
  const ann = await Visitor.enter(browser, server.url, 'Nobody', { room: 'late' });
  await ann.page.goto('about:blank');
  const exp = inSeconds(4);
  await ann.page.goto(address(token({ sub: 'ann-10', name: 'Ann', exp }, { key: KEY }), 'late'));
  await ann.phase('online');
  await ann.page.context().setOffline(true);
  await ann.phase('offline');
  await ann.write("ann's");
  await eventually('the token has run out', () => assert.ok(inSeconds(0) > exp));
  await ann.page.context().setOffline(false);
  await ann.page.getByRole('alert').getByText(/the token has expired.*What you have not sent yet waits for that/).waitFor();
  await ann.connected();
  await ann.write("nobody's");
  await watcher.sees(["nobody's"]);
  assert.deepEqual(await ann.waiting(), []);
  await ann.page.goto('about:blank');
  await ann.page.goto(address(token({ sub: 'ann-10', name: 'Ann' }, { key: KEY }), 'late'));
  await watcher.sees(["nobody's", "ann's"]);
  for (const each of [watcher, ann]) await each.leaves();
});

test('on_a_phone_and_by_keyboard_everything_is_in_reach', async () => {
  const ann = await signIn('ann-8', 'Ann', { room: 'reach' });
  const bob = await signIn('bob-8', 'Bob', { room: 'reach', profile: PHONE });
  await ann.page.keyboard.press('Control+k');
  await ann.page.keyboard.type('@bob-8');
  await ann.page.keyboard.press('Enter');
  await ann.page.keyboard.type(`hello ${'w'.repeat(500)}`);
  await ann.page.keyboard.press('Enter');
  await ann.page.keyboard.press('Alt+ArrowDown');
  await ann.page.locator('#room-name', { hasText: 'reach' }).waitFor();

  await bob.page.getByRole('button', { name: 'Rooms, unread messages' }).tap();
  const item = conversation(bob, 'Ann');
  await item.waitFor();
  assert.ok((await item.boundingBox()).height >= 44, 'big enough for a finger');
  await item.tap();
  await bob.page.locator('#messages .text').waitFor();
  const fits = () => [document.documentElement, document.body, document.getElementById('scroller')].every((it) => it.scrollWidth <= it.clientWidth);
  assert.ok(await bob.page.evaluate(fits), 'the page scrolls sideways');
  await bob.write('hi');
  await bob.page.getByRole('button', { name: 'People in this room' }).tap();
  await bob.page.locator('#people .user', { hasText: '@ann-8' }).waitFor();
  for (const each of [ann, bob]) await each.leaves();
});
