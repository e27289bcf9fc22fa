// The 0.9 bundle in a real browser, over every way that a current one can travel, from our own origin and from
// another: it chats, gets answers, joins a namespace, comes back after a restart, and stays away when it was sent.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser, startPages } from '../clients/browser.mjs';
import { join as joinLater, kinds as laterKinds } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';

const pages = fileURLToPath(new URL('pages/', import.meta.url));
const WAYS = ['xhr-polling', 'websocket', 'jsonp-polling'];
const TEXTS = ['✓😀', 'é', 'plain', 'てすと Я Ä ß', 'שלום', 'line\u2028end\u2029', "a\nb 'c' \"d\" \\ &amp; %41", '\ufffd5\ufffd3:::x'];
const later = laterKinds.find(({ name }) => name === '4.8 over websocket');

let browser;
let elsewhere;
let elsewhereUrl;
before(async () => {
  [browser, elsewhere] = await Promise.all([openBrowser(), startPages(pages)]);
  // Another host than the server's; ports alone make no difference.
  elsewhereUrl = elsewhere.url.replace('127.0.0.1', 'localhost');
});
after(async () => {
  await browser?.close();
  await elsewhere?.stop();
});

async function serve(t, options = {}) {
  const server = await startServer({ ...options, args: ['--public', pages, ...(options.args ?? [])] });
  t.after(() => server.stop());
  return server;
}

async function openPage(t, server, transport, { origin = server.url, namespace = '' } = {}) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  // Not until it is loaded: to a browser, a poll by script is a part of the page that is still on its way.
  await page.goto(`${origin}/chat.html?${new URLSearchParams({ server: server.url, transport, namespace })}`, { waitUntil: 'domcontentloaded' });
  return page;
}

async function openWindow(t, server, transport, options) {
  const page = await openPage(t, server, transport, options);
  await eventually(`connected over ${transport}`, async () => {
    const state = await page.evaluate(() => ({ ...state, transport: socket?.socket.transport?.name }));
    if (state.connections === 0) throw new Error(JSON.stringify(state));
    return state.transport === transport;
  });
  return page;
}

const say = (page, text) => page.evaluate((text) => void socket.emit('message', text), text);
const shown = (page) => page.locator('li').allTextContents();

for (const transport of WAYS) {
  for (const place of ['its own origin', 'another origin']) {
    test(`windows over ${transport} from ${place} chat with each other and with 4.8, beyond ASCII too`, async (t) => {
      const server = await serve(t, { args: ['--cors-origin', elsewhereUrl] });
      const origin = place === 'another origin' ? elsewhereUrl : server.url;
      const other = await joinLater(later, server.url);
      t.after(() => other.close());
      const windows = await Promise.all([0, 1].map(() => openWindow(t, server, transport, { origin })));
      const speakers = [...windows.map((page) => (text) => say(page, text)), (text) => void other.socket.emit('message', text)];
      for (const [i, text] of [...TEXTS, ...TEXTS].entries()) {
        await speakers[i % speakers.length](`${i} ${text}`);
        await eventually(`${text} is told`, () => other.messages.length === i + 1);
        for (const page of windows) await eventually(`${text} is shown`, async () => (await shown(page)).length === i + 1);
      }
      assert.deepEqual(other.texts(), [...TEXTS, ...TEXTS].map((text, i) => `${i} ${text}`));
      const asHtml = await windows[0].evaluate((texts) => texts.map((text) => {
        const item = document.createElement('li');
        item.innerHTML = text;
        return item.textContent;
      }), other.texts());
      for (const page of windows) {
        assert.deepEqual(await shown(page), asHtml);
        assert.deepEqual(await page.evaluate(() => state), { connections: 1, disconnects: [], errors: [] });
      }
    });
  }

  test(`a window over ${transport} gets answers, receipts, and what a namespace has to say`, async (t) => {
    const server = await serve(t);
    const page = await openWindow(t, server, transport);
    const id = await page.evaluate(() => new Promise((resolve) => socket.emit('message', 'asks ✓', resolve)));
    assert.match(id, /^\S+$/);
    await page.evaluate(() => new Promise((resolve) => socket.send('sends ✓', resolve)));
    await page.evaluate(() => void socket.json.send('as JSON ✓'));
    await eventually('all is shown', async () => (await shown(page)).length === 3);
    assert.deepEqual(await shown(page), ['asks ✓', 'sends ✓', 'as JSON ✓']);

    const chat = await openWindow(t, server, transport, { namespace: '/chat' });
    const request = (event, payload) =>
      chat.evaluate(([event, payload]) => new Promise((resolve) => socket.emit(event, payload, resolve)), [event, payload]);
    assert.equal((await request('hello', { name: 'Älter' })).name, 'Älter');
    assert.equal((await request('join', { room: 'raum ✓' })).ok, true);
    assert.equal((await request('post', { room: 'raum ✓', text: 'grüße 😀' })).ok, true);
    await eventually('it is shown', async () => (await shown(chat)).includes('grüße 😀'));
  });

  test(`a window over ${transport} is back after the server was killed, and after it was stopped`, async (t) => {
    const server = await serve(t);
    const page = await openWindow(t, server, transport);
    for (const [i, end] of [() => server.kill9(), () => server.stop()].entries()) {
      await end();
      await eventually('it notices', () => page.evaluate(() => !socket.socket.connected));
      await server.restart();
      await eventually('it is back', () => page.evaluate((times) => socket.socket.connected && state.connections > times, i + 1));
      await say(page, `back ${i}`);
      await eventually('it goes on', async () => (await shown(page)).at(-1) === `back ${i}`);
    }
  });

  test(`a window over ${transport} that floods is sent away and stays away`, async (t) => {
    const server = await serve(t, { limited: true, args: ['--event-rate', '20', '--flood-timeout', '1s'] });
    const page = await openWindow(t, server, transport);
    await page.evaluate(() => void (window.flood = setInterval(() => socket.emit('anything', 1), 5)));
    await eventually('it is sent away', () => page.evaluate(() => state.disconnects.length > 0));
    await page.evaluate(() => clearInterval(window.flood));
    // Had it looked for the server again, it would be back before one that begins to look only now.
    const other = await openWindow(t, server, transport);
    await server.restart();
    await eventually('the other is back', () => other.evaluate(() => state.connections > 1));
    const { connections, disconnects } = await page.evaluate(() => state);
    assert.deepEqual({ connections, disconnects }, { connections: 1, disconnects: ['booted'] });
  });

  test(`a window over ${transport} of an origin that was not let in does not connect`, async (t) => {
    const server = await serve(t);
    const page = await openPage(t, server, transport, { origin: elsewhereUrl });
    await eventually('it is refused', () => page.evaluate(() => state.errors.length > 0));
    assert.equal(await page.evaluate(() => state.connections), 0);
  });
}
