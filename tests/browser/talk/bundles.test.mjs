// The browser builds of old and current client libraries in a real browser, over polling too, where text beyond
// ASCII has been breaking them: several such texts both ways on one connection that never breaks.

import assert from 'node:assert/strict';
import { copyFileSync, cpSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser, startPages } from '../../clients/browser.mjs';
import { eventually, freshFolder, startServer } from '../../clients/harness.mjs';

const clients = fileURLToPath(new URL('../../clients/', import.meta.url));
const TEXTS = ['✓😀', 'é', 'plain', 'てすと Я Ä ß', 'שלום', 'line\u2028end', '👩‍👩‍👧‍👦', '✓😀'];
const ROUNDS = 3;

const BUNDLES = {
  '1.4.5': '/public/1.4.5.js',
  '1.7.4': '/socket.io/1/socket.io.js',
  '2.5.0': '/socket.io/2/socket.io.js',
  '3.1.3': '/socket.io/3/socket.io.js',
  4.8: '/socket.io/4/socket.io.js',
};
const WAYS = { polling: 'polling', upgrade: 'polling,websocket', websocket: 'websocket' };

let browser;
let server;
let elsewhere;

before(async () => {
  const folder = freshFolder();
  cpSync(path.join(clients, 'pages'), folder, { recursive: true });
  copyFileSync(path.join(clients, 'node_modules/socket.io-client-1.4.5/socket.io.js'), path.join(folder, '1.4.5.js'));
  elsewhere = await startPages(folder);
  [browser, server] = await Promise.all([
    openBrowser(),
    startServer({ args: ['--public', folder, '--cors-origin', elsewhere.url] }),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await elsewhere?.stop();
});

for (const [generation, client] of Object.entries(BUNDLES)) {
  for (const [way, transports] of Object.entries(WAYS)) {
    test(`the ${generation} bundle over ${way} speaks beyond ASCII both ways and goes on`, async (t) => {
      await converse(t, `${generation} ${way}`, `${server.url}/bundle.html?${new URLSearchParams({ client, transports })}`, way);
    });
  }
}

for (const way of ['polling', 'upgrade']) {
  for (const generation of ['1.7.4', '4.8']) {
    test(`the ${generation} bundle over ${way} does so from another origin`, async (t) => {
      const query = new URLSearchParams({
        client: server.url + BUNDLES[generation],
        server: server.url,
        transports: WAYS[way],
      });
      await converse(t, `${generation} ${way} elsewhere`, `${elsewhere.url}/bundle.html?${query}`, way);
    });
  }
}

/** Two windows of a page tell each other the texts in turn, each several times. */
async function converse(t, name, url, way) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const windows = await Promise.all([0, 1].map(() => openWindow(context, url, way)));

  const said = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const text of TEXTS) {
      const speaker = said.length % windows.length;
      said.push(`${name} ${said.length}: ${text}`);
      await windows[speaker].evaluate((text) => void socket.emit('message', text), said.at(-1));
      for (const page of windows) await eventually(`${text} is shown`, async () => (await shown(page, name)).length >= said.length);
    }
  }
  for (const page of windows) {
    assert.deepEqual(await shown(page, name), said);
    const { connections, errors } = await page.evaluate(() => ({ connections, errors }));
    assert.deepEqual({ connections, errors }, { connections: 1, errors: [] });
  }
}

async function openWindow(context, url, way) {
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
  await eventually('connected the way it wants to travel', async () => {
    const state = await page.evaluate(() => ({ errors, connected: socket?.connected, transport: socket?.io.engine?.transport.name }));
    if (!state.connected) throw new Error(JSON.stringify({ ...state, complaints }));
    return state.transport === (way === 'polling' ? 'polling' : 'websocket');
  });
  return page;
}

function shown(page, name) {
  return page.evaluate(
    (name) => [...document.querySelectorAll('.said')].map((said) => said.textContent).filter((text) => text.startsWith(`${name} `)),
    name,
  );
}
