// The page's side of docs/native.md where the order of things matters: keys, answers that are late or
// lost, resets, farewells. The server is a script in the page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enterScripted } from './scripted.mjs';
import { browser, server } from './stage.mjs';
import { eventually } from './visitor.mjs';

const requests = (ana, event) => ana.page.evaluate((wanted) => window.script.requests.filter(([name]) => name === wanted).map(([, payload]) => payload), event);

const frame = (ana) => ana.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

test('a_post_is_shown_once_when_its_message_overtakes_its_answer', async () => {
  const ana = await enterScripted(browser, server.url, 'race');
  await ana.page.evaluate(() => (window.script.answers.post = () => new Promise((resolve) => (window.settle = resolve))));
  await ana.write('mine');
  await eventually('it waits', async () => assert.deepEqual(await ana.waiting(), ['mine']));
  await ana.page.evaluate(() => (window.time = window.script.message('race', 'm1', 'mine', 'Ana')));
  await ana.sees(['mine']);
  assert.deepEqual(await ana.waiting(), []);
  await ana.page.evaluate(() => window.settle({ ok: true, id: 'm1', time: window.time }));
  await frame(ana);
  assert.deepEqual([await ana.texts(), await ana.waiting()], [['mine'], []]);
  await ana.leaves();
});

test('a_post_of_somebody_with_the_same_name_and_text_is_not_taken_for_ours', async () => {
  const ana = await enterScripted(browser, server.url, 'twins');
  await ana.page.evaluate(() => (window.script.answers.post = () => new Promise((resolve) => (window.settle = resolve))));
  await ana.write('hi');
  await ana.page.evaluate(() => window.script.message('twins', 'theirs', 'hi', 'Ana'));
  await ana.sees(['hi']);
  await ana.page.evaluate(() => window.settle({ ok: true, id: 'ours', time: '2026-06-01T00:00:00.000Z' }));
  await eventually('ours is shown as sent', async () => assert.deepEqual(await ana.waiting(), ['hi']));
  await ana.page.evaluate(() => window.script.message('twins', 'ours', 'hi', 'Ana'));
  await ana.sees(['hi', 'hi']);
  assert.deepEqual(await ana.waiting(), []);
  await ana.leaves();
});

test('a_post_goes_out_with_the_same_key_until_it_is_kept', async () => {
  const ana = await enterScripted(browser, server.url, 'again');
  await ana.page.evaluate(() => {
    const { script } = window;
    const unavailable = { ok: false, error: { code: 'unavailable', message: 'the message could not be kept now', retry: true } };
    const answers = [() => unavailable, () => new Promise(() => {}), () => ({ ok: true, id: 'm1', time: script.message('again', 'm1', 'once', 'Ana') })];
    script.answers.post = () => answers.shift()();
  });
  await ana.write('once');
  await eventually('the second attempt is out', async () => assert.equal((await requests(ana, 'post')).length, 2));
  await ana.page.evaluate(() => {
    window.script.cut();
    window.script.comeBack();
  });
  await ana.sees(['once']);
  assert.deepEqual(await ana.waiting(), []);
  const posts = await requests(ana, 'post');
  assert.equal(posts.length, 3);
  assert.equal(new Set(posts.map(({ key }) => key)).size, 1);
  assert.match(posts[0].key, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  await ana.leaves();
});

test('a_refused_post_stays_with_its_reason_until_it_is_edited_or_discarded', async () => {
  const ana = await enterScripted(browser, server.url, 'refused');
  await ana.page.evaluate(() => {
    window.script.answers.post = ({ text }) => (text === 'fine'
      ? { ok: true, id: 'm1', time: window.script.message('refused', 'm1', 'fine', 'Ana') }
      : { ok: false, error: { code: 'too_long', message: 'the text is too long', retry: false } });
  });
  await ana.write('bad');
  await ana.page.getByText('Not sent: the text is too long.').waitFor();
  await ana.write('fine');
  await ana.sees(['fine']);
  assert.deepEqual(await ana.waiting(), ['bad']);
  await ana.page.getByRole('button', { name: 'Send again' }).click();
  await eventually('it went out again', async () => assert.equal((await requests(ana, 'post')).length, 3));
  await ana.page.getByRole('button', { name: 'Edit' }).click();
  assert.equal(await ana.page.getByLabel('Message', { exact: true }).inputValue(), 'bad');
  assert.deepEqual(await ana.waiting(), []);
  await ana.page.keyboard.press('Enter');
  await ana.page.getByRole('button', { name: 'Discard' }).click();
  assert.deepEqual(await ana.waiting(), []);
  await ana.leaves();
});

test('leaving_with_a_post_unsent_is_asked_about', async () => {
  const ana = await enterScripted(browser, server.url, 'unsent');
  await ana.page.evaluate(() => window.script.cut());
  await ana.write('still here');
  await ana.page.getByRole('button', { name: 'Leave this room' }).click();
  await ana.page.getByText('One message has not been sent yet.').waitFor();
  await ana.page.getByRole('button', { name: 'Stay' }).click();
  assert.deepEqual(await ana.waiting(), ['still here']);
  await ana.page.getByRole('button', { name: 'Leave this room' }).click();
  await ana.page.getByRole('button', { name: 'Leave', exact: true }).click();
  await ana.page.getByRole('heading', { name: 'You are in no room' }).waitFor();
  await ana.leaves();
});

test('coming_back_it_asks_for_what_followed_and_a_reset_replaces_what_was_shown', async () => {
  const ana = await enterScripted(browser, server.url, 'reset');
  await ana.page.evaluate(() => ['a', 'b'].forEach((id) => window.script.message('reset', id, `old ${id}`)));
  await ana.sees(['old a', 'old b']);
  await ana.page.evaluate(() => {
    window.script.cut();
    window.script.comeBack();
  });
  await eventually('joined again', async () => assert.deepEqual(await requests(ana, 'join'), [{ room: 'reset' }, { room: 'reset', after: 'b' }]));
  await ana.page.evaluate(() => window.script.message('reset', 'c', 'new c'));
  await ana.sees(['old a', 'old b', 'new c']);

  await ana.page.evaluate(() => {
    const { script } = window;
    script.answers.join = ({ room }) => {
      // Sent right behind the answer, and read before the page has seen the answer.
      queueMicrotask(() => script.message(room, 'z', 'another history'));
      return { ok: true, room, reset: true, people: [], guests: 1, total: 1 };
    };
    script.cut();
    script.comeBack();
  });
  await ana.sees(['another history']);
  await ana.leaves();
});

test('a_message_that_is_sent_twice_is_shown_once', async () => {
  const ana = await enterScripted(browser, server.url, 'twice');
  await ana.page.evaluate(() => ['a', 'b', 'a', 'b', 'c'].forEach((id) => window.script.message('twice', id, id)));
  await ana.sees(['a', 'b', 'c']);
  await ana.leaves();
});

test('a_flood_of_messages_leaves_the_page_small_and_all_of_it_readable', async () => {
  const ana = await enterScripted(browser, server.url, 'flood');
  await ana.page.evaluate(() => {
    for (let count = 1; count <= 3_000; count += 1) window.script.message('flood', `m${count}`, `message ${count}`);
  });
  const last = ana.page.locator('#messages .text').last();
  await eventually('the newest is shown', async () => assert.equal(await last.textContent(), 'message 3000'));
  const shown = () => ana.page.locator('#messages .entry').count();
  assert.ok(await shown() <= 1_000);
  const scroller = ana.page.locator('#scroller');
  await eventually('what is kept can be read back', async () => {
    await scroller.evaluate((it) => (it.scrollTop = 0));
    assert.equal((await ana.texts())[0], 'message 2001');
  });
  assert.ok(await shown() <= 1_000);
  await eventually('and down again', async () => {
    await scroller.evaluate((it) => (it.scrollTop = it.scrollHeight));
    assert.equal(await last.textContent(), 'message 3000');
  });
  assert.ok(await shown() <= 1_000);
  await ana.leaves();
});

test('a_farewell_without_return_is_said_in_words_and_the_way_back_is_a_button', async () => {
  const ana = await enterScripted(browser, server.url, 'farewell');
  await ana.page.evaluate(() => {
    window.script.fire('goodbye', { code: 'flooding', message: 'too many events', reconnect: false });
    window.script.cut();
  });
  await ana.phase('closed');
  await ana.page.getByText('The server ended this connection because too much was sent over it.').waitFor();
  await ana.page.getByRole('button', { name: 'Connect again' }).click();
  await ana.connected();
  await ana.leaves();
});

test('a_restart_is_said_in_words', async () => {
  const ana = await enterScripted(browser, server.url, 'restart');
  await ana.page.evaluate(() => {
    window.script.fire('goodbye', { code: 'shutdown', message: 'restarting', reconnect: true });
    window.script.cut();
  });
  await ana.page.getByText('The server is being restarted. Reconnecting…').waitFor();
  await ana.page.evaluate(() => window.script.comeBack());
  await ana.connected();
  await ana.leaves();
});

test('a_name_that_is_refused_is_asked_for_again_with_the_reason', async () => {
  const ana = await enterScripted(browser, server.url, 'names');
  await ana.page.evaluate(() => {
    const accept = window.script.answers.hello;
    const refusal = { ok: false, error: { code: 'bad_name', message: 'this name is taken', retry: false } };
    window.script.answers.hello = (payload) => (payload.name === 'Ana' ? refusal : accept(payload));
    window.script.cut();
    window.script.comeBack();
  });
  await ana.page.locator('#name-problem', { hasText: 'this name is taken.' }).waitFor();
  await ana.page.keyboard.press('Escape');
  await ana.page.locator('#name-dialog[open]').waitFor();
  await ana.page.getByLabel('Your name', { exact: true }).fill('Anna');
  await ana.page.keyboard.press('Enter');
  await ana.connected();
  await ana.leaves();
});

test('messages_without_an_author_are_a_guests', async () => {
  const ana = await enterScripted(browser, server.url, 'guests');
  await ana.page.evaluate(() => {
    window.script.message('guests', 'a', 'from an old page', null);
    window.script.fire('people', { room: 'guests', joined: [], left: [], guests: 2, total: 3 });
  });
  await ana.sees(['from an old page']);
  assert.equal(await ana.page.locator('#messages .author').textContent(), 'guest');
  await ana.page.getByText('and 2 guests').waitFor();
  await ana.leaves();
});
