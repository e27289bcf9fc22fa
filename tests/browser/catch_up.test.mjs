// Pages that load their client library from the server and know nothing of ids: when they come back after the
// server was away, they are told what they missed, and nothing again.

import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser } from '../clients/browser.mjs';
import { current, join } from '../clients/generations.mjs';
import { eventually, freshFolder, startServer } from '../clients/harness.mjs';

const PAGES = ['../clients/pages/', '../legacy/pages/'].map((folder) => fileURLToPath(new URL(folder, import.meta.url)));
const KINDS = [
  ...['xhr-polling', 'websocket', 'jsonp-polling'].map((way) => ({ name: `0.9 over ${way}`, address: `/chat.html?transport=${way}` })),
  ...['1', '2', '3', '4'].flatMap((generation) =>
    ['polling', 'websocket'].map((way) => ({
      name: `${generation} over ${way}`,
      address: `/bundle.html?client=/socket.io/${generation}/socket.io.js&transports=${way}`,
    })),
  ),
  { name: '4, minified, over polling', address: '/bundle.html?client=/socket.io/4/socket.io.min.js&transports=polling' },
];
/** More than a newcomer gets. */
const MANY = 30;

let browser;
const folder = freshFolder();
before(async () => {
  for (const pages of PAGES) cpSync(pages, folder, { recursive: true });
  browser = await openBrowser();
});
after(() => browser?.close());

test('a page that reconnects is told what it missed, and nothing again, whatever library it has from us', async (t) => {
  const { told, windows } = await comeBack(t, []);
  for (const { kind, page } of windows) {
    await eventually(`${kind.name} is told all`, async () => (await shown(page)).length >= told.length);
    assert.deepEqual(await shown(page), told, kind.name);
  }
});

test('without the addition it is told the last messages again', async (t) => {
  const { told, windows } = await comeBack(t, ['--catch-up', 'off']);
  const again = [...told.slice(0, MANY), ...told.slice(-25)];
  for (const { kind, page } of windows) {
    await eventually(`${kind.name} is told the last ones`, async () => (await shown(page)).length >= again.length);
    assert.deepEqual(await shown(page), again, kind.name);
  }
});

/** Windows of every kind that were told some messages, and were away while others were said. */
async function comeBack(t, args) {
  const options = { args: ['--public', folder, ...args] };
  const server = await startServer(options);
  t.after(() => server.stop());
  const windows = await Promise.all(KINDS.map((kind) => openWindow(t, kind, server.url)));

  const told = [];
  const say = async (url, count) => {
    const peer = await join(current, url);
    for (let i = 0; i < count; i += 1) {
      told.push(`message ${told.length}`);
      await peer.request('message', told.at(-1));
    }
    peer.close();
  };
  await say(server.url, MANY);
  for (const { kind, page } of windows) {
    await eventually(`${kind.name} is told all`, async () => (await shown(page)).length === MANY);
  }

  await server.stop();
  const meanwhile = await startServer({ ...options, data: server.data });
  await say(meanwhile.url, MANY);
  await meanwhile.stop();
  await server.restart();
  return { told, windows };
}

async function openWindow(t, kind, url) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  // Not until it is loaded: to a browser, a poll by script is a part of the page that is still on its way.
  await page.goto(url + kind.address, { waitUntil: 'domcontentloaded' });
  await eventually(`${kind.name} is connected`, () =>
    page.evaluate(() => (typeof state === 'undefined' ? connections : state.connections) > 0),
  );
  return { kind, page };
}

const shown = (page) => page.locator('li').allTextContents();
