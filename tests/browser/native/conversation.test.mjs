// Two windows talk; who is here; names; what is remembered.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, server } from './stage.mjs';
import { Visitor, eventually } from './visitor.mjs';

test('two_windows_talk_and_see_the_same_order', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'talk' });
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'talk' });
  await ana.write('hello');
  await ben.sees(['hello']);
  await ben.write('hello yourself ✓😀');
  await ana.write('good');
  await ana.write('so?');
  await ana.page.locator('#messages .text', { hasText: 'so?' }).waitFor();
  const order = await ana.texts();
  assert.deepEqual([...order].sort(), ['good', 'hello', 'hello yourself ✓😀', 'so?']);
  await ben.sees(order);
  assert.deepEqual(await ana.waiting(), []);
  assert.equal(await ben.page.locator('#messages .author').first().textContent(), 'Ana');
  assert.deepEqual([...ana.errors, ...ben.errors], []);
  await Promise.all([ana.leaves(), ben.leaves()]);
});

test('messages_of_one_author_stand_under_one_head', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'heads' });
  for (const text of ['one', 'two', 'three']) await ana.write(text);
  await ana.sees(['one', 'two', 'three']);
  assert.equal(await ana.page.locator('#messages .author').count(), 1);
  assert.equal(await ana.page.locator('#messages .separator.day').count(), 1);
  await ana.leaves();
});

test('a_reload_keeps_name_room_and_history', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'kept' });
  await ana.write('remember me');
  await ana.sees(['remember me']);
  await ana.page.reload();
  await ana.connected();
  await ana.sees(['remember me']);
  assert.equal(await ana.page.locator('#me-name').textContent(), 'Ana');
  assert.equal(await ana.page.locator('#room-name').textContent(), 'kept');
  assert.equal(await ana.page.locator('#name-dialog').isVisible(), false);
  await ana.leaves();
});

test('the_people_here_are_listed_and_a_new_name_replaces_the_old_one', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'people' });
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'people' });
  const people = () => ana.page.locator('#people .person').allTextContents();
  await eventually('both are listed', async () => assert.deepEqual(await people(), ['Ana', 'Ben']));
  await ben.page.getByRole('button', { name: 'Change your name' }).click();
  await ben.page.getByLabel('Your name', { exact: true }).fill('Benedikt');
  await ben.page.keyboard.press('Enter');
  await eventually('the new name is listed', async () => assert.deepEqual(await people(), ['Ana', 'Benedikt']));
  await ben.leaves();
  await eventually('who went away is gone', async () => assert.deepEqual(await people(), ['Ana']));
  await ana.leaves();
});

test('without_a_proper_name_there_is_no_way_in', async () => {
  const ana = await Visitor.arrive(browser, server.url);
  await ana.page.getByLabel('Your name', { exact: true }).fill('a'.repeat(41));
  await ana.page.keyboard.press('Enter');
  await ana.page.locator('#name-problem', { hasText: '40' }).waitFor();
  await ana.page.keyboard.press('Escape');
  await ana.page.locator('#name-dialog[open]').waitFor();
  await ana.page.getByLabel('Your name', { exact: true }).fill('Ana');
  await ana.page.keyboard.press('Enter');
  await ana.connected();
  await ana.leaves();
});

test('typing_is_shown_and_forgotten_when_the_writer_just_stops', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'typing' });
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'typing' });
  const typing = ana.page.locator('#typing');
  await ben.page.getByLabel('Message', { exact: true }).pressSequentially('hm');
  await typing.getByText('Ben is typing…').waitFor();
  await typing.getByText('Ben is typing…').waitFor({ state: 'detached' });
  assert.equal(await ben.page.getByLabel('Message', { exact: true }).inputValue(), 'hm');
  await ben.page.getByLabel('Message', { exact: true }).pressSequentially('m');
  await typing.getByText('Ben is typing…').waitFor();
  await ben.page.keyboard.press('Enter');
  await ana.sees(['hmm']);
  await eventually('what was sent is typed no more', async () => assert.equal(await typing.textContent(), ''));
  await Promise.all([ana.leaves(), ben.leaves()]);
});
