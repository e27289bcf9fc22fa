// An old talk page, and old pages and ours in one room: all see each other's messages in one order, and nothing
// that anybody types runs anywhere.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser, startPages } from '../../clients/browser.mjs';
import { eventually, startServer } from '../../clients/harness.mjs';

const pages = fileURLToPath(new URL('../../clients/pages/', import.meta.url));
const ATTACKS = [
  '<img src=x onerror="window.ran = 1">',
  '<script>window.ran = 1</script>',
  '<svg onload="window.ran = 1">',
  '"><iframe srcdoc="<script>parent.ran = 1</script>">',
  '<<img src=x onerror=window.ran=1//',
  '&lt;img src=x onerror="window.ran = 1">',
];

let browser;
before(async () => (browser = await openBrowser()));
after(() => browser?.close());

test('a talk page says and is shown what is said, and a newcomer sees it with its own date', async (t) => {
  const server = await startServer({ args: ['--public', pages, '--host-name', 'the-host'] });
  t.after(() => server.stop());
  const [first, second] = await Promise.all([0, 1].map(() => talkWindow(t, `${server.url}/talk.html`)));
  await eventually('the host is shown', async () => (await first.textContent('#host')) === 'the-host');
  const texts = ['hello', 'grüße ✓😀', 'again ✓😀'];
  for (const [i, text] of texts.entries()) {
    await say([first, second][i % 2], text);
    for (const page of [first, second]) await eventually(text, async () => (await said(page)).includes(text));
  }
  const third = await talkWindow(t, `${server.url}/talk.html`);
  await eventually('the newcomer sees all', async () => (await said(third)).length === texts.length);
  assert.deepEqual(await said(third), texts);
  const times = (page) => page.locator('time').allTextContents();
  assert.deepEqual(await times(third), await times(first));
});

test('a talk page finds the server again after it was killed', async (t) => {
  const server = await startServer({ args: ['--public', pages] });
  t.after(() => server.stop());
  const page = await talkWindow(t, `${server.url}/talk.html`);
  await say(page, 'before');
  await eventually('it is shown', async () => (await said(page)).includes('before'));
  await server.kill9();
  await eventually('the page notices', () => page.evaluate(() => !socket.connected));
  await server.restart();
  await eventually('the page is back', () => page.evaluate(() => socket.connected));
  await say(page, 'after');
  await eventually('it is shown', async () => (await said(page)).includes('after'));
});

test('two windows of an old page and two of ours see each other in one order, and no text runs', { timeout: 90_000 }, async (t) => {
  const elsewhere = await startPages(pages);
  t.after(() => elsewhere.stop());
  const server = await startServer({ args: ['--cors-origin', elsewhere.url] });
  t.after(() => server.stop());
  const query = new URLSearchParams({
    client: `${server.url}/socket.io/1/socket.io.js`,
    server: server.url,
    transports: 'polling,websocket',
  });
  const windows = await Promise.all([
    talkWindow(t, `${elsewhere.url}/bundle.html?${query}`),
    talkWindow(t, `${elsewhere.url}/bundle.html?${query}`),
    ownWindow(t, server.url, 'Zoë'),
    ownWindow(t, server.url, '<img src=x onerror="window.ran=1">'),
  ]);

  const texts = [];
  for (let round = 0; round < 2; round++) {
    for (const [i, page] of windows.entries()) {
      const text = `round ${round} of window ${i} ✓😀`;
      texts.push(text);
      await say(page, text);
    }
  }
  await allShow(windows, texts);

  // All at once, so that the order is not the order of the loop above.
  const storm = windows.flatMap((page, i) => Array.from({ length: 5 }, (_, n) => ({ page, text: `storm ${n} of window ${i}` })));
  await Promise.all(windows.map(async (page) => {
    for (const { text } of storm.filter((one) => one.page === page)) await say(page, text);
  }));
  texts.push(...storm.map(({ text }) => text));
  await allShow(windows, texts);

  for (const [i, attack] of ATTACKS.entries()) await say(windows[i % windows.length], `${attack} by ${i % windows.length}`);
  await eventually('all attacks are shown', async () => {
    const counts = await Promise.all(windows.map(async (page) => (await said(page)).length));
    return counts.every((count) => count >= texts.length + ATTACKS.length);
  });
  for (const page of windows) {
    // What an image or a frame would run, runs after its load failed: a load of our own behind them tells when.
    await page.evaluate(() => new Promise((resolve) => {
      const image = new Image();
      image.onerror = image.onload = () => setTimeout(resolve);
      image.src = '/no-such-image';
    }));
    const found = await page.evaluate(() => ({
      ran: window.ran,
      elements: document.querySelectorAll('img[onerror], svg[onload], iframe[srcdoc]').length,
    }));
    assert.deepEqual(found, { ran: undefined, elements: 0 });
  }
});

async function allShow(windows, texts) {
  for (const page of windows) {
    await eventually('all is shown', async () => {
      const seen = (await said(page)).length;
      if (seen < texts.length) throw new Error(`${seen} of ${texts.length} are shown in ${page.url()}`);
      return true;
    });
  }
  const order = await said(windows[0]);
  assert.deepEqual(order.toSorted(), texts.toSorted());
  for (const page of windows) assert.deepEqual(await said(page), order, page.url());
}

async function freshPage(t, url) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

async function talkWindow(t, url) {
  const page = await freshPage(t, url);
  await eventually('the page is connected', () => page.evaluate(() => socket?.connected));
  return page;
}

async function ownWindow(t, url, name) {
  const page = await freshPage(t, `${url}/#lobby`);
  await page.fill('#name-input', name);
  await page.press('#name-input', 'Enter');
  await page.waitForSelector('#name-dialog', { state: 'hidden' });
  return page;
}

// Both kinds of page have a box with this id that sends on Enter.
async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

function said(page) {
  return page.locator('.said, #messages .entry .text').allTextContents();
}
