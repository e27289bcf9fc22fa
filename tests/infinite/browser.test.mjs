// A page without a library in a real browser: from our own origin, from another port, and from another host.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser, startPages } from '../clients/browser.mjs';
import { current, join as joinSocketIo } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';

const pages = fileURLToPath(new URL('pages/', import.meta.url));
const ATTACKS = [
  '<script>window.ran = 1</script>',
  '<img src=x onerror="window.ran = 1">',
  '<svg onload="window.ran = 1">',
  '</li></ol><iframe srcdoc="<script>parent.ran = 1</script>">',
];

let browser;
let elsewhere;
before(async () => ([browser, elsewhere] = await Promise.all([openBrowser(), startPages(pages)])));
after(async () => {
  await browser?.close();
  await elsewhere?.stop();
});

async function serve(t, args = []) {
  const server = await startServer({ args: ['--public', pages, ...args] });
  t.after(() => server.stop());
  return server;
}

async function openPage(t, url) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

async function openWindow(t, url) {
  const page = await openPage(t, url);
  await eventually('the history is shown', () => page.evaluate(() => state.arrays.length > 0));
  return page;
}

async function say(page, name, text) {
  await page.fill('#who', name);
  await page.fill('#what', text);
  await page.click('button');
}

const shown = (page) =>
  page.locator('li').evaluateAll((items) => items.map((item) => `${item.dataset.username}: ${item.lastChild.data}`));

test('two windows and an old talk client see each other, as it was typed, and nothing runs', async (t) => {
  const server = await serve(t);
  const talk = await joinSocketIo(current, server.url);
  t.after(() => talk.close());
  const windows = await Promise.all([0, 1].map(() => openWindow(t, server.url)));
  const lines = ['System: Start Chatting!'];
  for (const [i, text] of [...ATTACKS, 'grüße ✓😀'].entries()) {
    const name = i % 2 ? '' : `<b>${i}</b>`;
    await say(windows[i % 2], name, text);
    lines.push(`${name || '???'}: ${text}`);
    talk.socket.emit('message', text);
    lines.push(`???: ${text}`);
    for (const page of windows) {
      await eventually(`${text} is shown`, async () => (await shown(page)).length === lines.length);
    }
  }
  // Nobody waited for the talk client's turn.
  for (const page of windows) assert.deepEqual((await shown(page)).toSorted(), lines.toSorted());
  assert.deepEqual(await shown(windows[0]), await shown(windows[1]));
  const newcomer = await openWindow(t, server.url);
  assert.deepEqual(await shown(newcomer), await shown(windows[0]));
  for (const page of [...windows, newcomer]) assert.equal(await page.evaluate(() => window.ran), undefined);
  const date = await newcomer.locator('li').first().getAttribute('data-date');
  assert.match(date, /^[A-Z][a-z]+ [1-9]\d?, \d{4} [1-9]\d?:\d\d [AP]M$/);
});

test('what cannot be sent is shown to its sender alone', async (t) => {
  const server = await serve(t);
  const [ann, bob] = await Promise.all([0, 1].map(() => openWindow(t, server.url)));
  await say(ann, 'x'.repeat(41), 'hi');
  await eventually('it is told', async () => (await shown(ann)).length === 2);
  assert.equal((await shown(ann))[1], 'System: Not sent: name is longer than 40 characters');
  await say(bob, 'Bob', 'hello');
  await eventually('Bob is heard', async () => (await shown(ann)).length === 3);
  assert.deepEqual(await shown(bob), ['System: Start Chatting!', 'Bob: hello']);
});

test('a page from another port names its server, and finds the history after a restart', async (t) => {
  const server = await serve(t);
  const url = `${elsewhere.url}/index.html?port=${server.port}&socketUrl=127.0.0.1`;
  const page = await openWindow(t, url);
  await say(page, 'Ann', 'before');
  await eventually('it is shown', async () => (await shown(page)).length === 2);
  await server.kill9();
  await eventually('the page notices', () => page.evaluate(() => state.closed));
  await server.restart();
  const again = await openWindow(t, url);
  assert.deepEqual(await shown(again), ['System: Start Chatting!', 'Ann: before']);
});

test('a page from another host connects where the setting lets it', async (t) => {
  const origin = elsewhere.url.replace('127.0.0.1', 'localhost');
  const url = (server) => `${origin}/index.html?port=${server.port}&socketUrl=127.0.0.1`;
  const closed = await serve(t);
  const page = await openPage(t, url(closed));
  await eventually('it is refused', () => page.evaluate(() => state.closed));
  assert.deepEqual(await page.evaluate(() => state), { opened: false, arrays: [], closed: { code: 1006, reason: '' } });
  const open = await serve(t, ['--cors-origin', origin]);
  await openWindow(t, url(open));
});

test('a window is told why its server goes', async (t) => {
  const server = await serve(t);
  const page = await openWindow(t, server.url);
  await server.stop();
  await eventually('it is told', () => page.evaluate(() => state.closed));
  assert.deepEqual(await page.evaluate(() => state.closed), { code: 1001, reason: 'the server is being restarted' });
  assert.equal((await shown(page)).at(-1), 'System: Disconnected: the server is being restarted');
});
