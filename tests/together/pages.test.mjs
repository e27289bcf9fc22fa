// Pages of every front end in a real browser, in one lobby: what is typed in one is shown in all as it was typed, and
// runs in none, nor does any name.

import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser } from '../clients/browser.mjs';
import { eventually, freshFolder, startServer } from '../clients/harness.mjs';
import { startThree } from './three.mjs';

const fixture = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
/** As short as a name may be. */
const NAME = '<img src=x onerror=ran=1>';
const ATTACKS = [
  '<script>window.ran = 1</script>',
  '<img src=x onerror="window.ran = 1">',
  '<svg onload="window.ran = 1">',
  '"><iframe srcdoc="<script>parent.ran = 1</script>"></iframe>',
  '<<img src=x onerror=window.ran=1//',
  '&lt;img src=x onerror="window.ran = 1">',
  "</script></b></li>'\" onmouseover=window.ran=1 x='",
];

/** Where each page is, how it is entered, where one types, and where it shows what was said: as it was typed, but talk's, which shows entities as what they stand for. */
const windows = [
  { name: 'talk', at: '/talk.html', file: 'clients/pages/talk.html', enter: enterTalk, say: byForm('#text'), shown: '#messages li', as: (text) => text.replaceAll('&lt;', '<') },
  { name: 'AMQPChat', at: '/amqpchat.html', file: 'legacy/pages/amqpchat/index.ejs', enter: enterAmqpChat, say: bySocket((text) => socket.send(text)), shown: '#lines > p' },
  { name: 'rabbitpubsub', at: '/', enter: enterRabbit, say: bySocket((text) => say(text)), shown: '#lines > p' },
  { name: 'Infinite', at: '/infinite.html', file: 'infinite/pages/index.html', enter: enterInfinite, say: byForm('#what'), shown: '#lines li' },
  { name: 'native', at: '/index.html#lobby', enter: (page) => enterNative(page, `${NAME} Nat`), say: byForm('#text'), shown: '#messages .entry .text' },
  { name: 'native, the second', at: '/index.html#lobby', enter: (page) => enterNative(page, 'Noa'), say: byForm('#text'), shown: '#messages .entry .text' },
  { name: 'the page with an account', at: '/account.html', enter: enterAccount, say: byForm('#text'), shown: '#lines > p' },
];

let browser;
before(async () => (browser = await openBrowser()));
after(() => browser?.close());

const args = () => ['--public', folderOfPages(), '--views', fixture('legacy/pages/rabbitpubsub'), '--client', '0.9'];

test('what is typed in any page is shown in all as it was typed, and runs in none', { timeout: 120_000 }, async (t) => {
  const server = await startServer({ args: args() });
  t.after(() => server.stop());
  await nothingRuns(t, () => server);
});

test('and so it is where the pages come from three replicas', { timeout: 180_000 }, async (t) => {
  const { replicas } = await startThree(t, args());
  await nothingRuns(t, (i) => replicas[i % replicas.length]);
});

async function nothingRuns(t, at) {
  const opened = [];
  for (const [i, window] of windows.entries()) opened.push({ ...window, page: await open(t, at(i), window) });
  const texts = [];
  for (const [i, attack] of ATTACKS.entries()) {
    for (const { name, say, page } of opened) {
      const text = `${attack} ${i} by ${name}`;
      texts.push(text);
      await say(page, text);
    }
  }
  for (const { name, page, shown, as = String } of opened) {
    await eventually(`${name} shows all`, async () => {
      const all = (await page.locator(shown).allTextContents()).join('\n');
      const missing = texts.filter((text) => !all.includes(as(text)));
      if (missing.length === 0) return true;
      throw new Error(`${missing.length} are missing, the first: ${missing[0]}`);
    });
  }
  for (const { name, page } of opened) assert.deepEqual(await found(page), { ran: undefined, elements: 0 }, name);
  // Those who come now are shown it as history.
  for (const [i, window] of windows.entries()) {
    const page = await open(t, at(i + 1), window, 'again');
    await eventually(`${window.name} shows the last`, async () => (await page.locator(window.shown).allTextContents()).join('\n').includes(texts.at(-1)));
    assert.deepEqual(await found(page), { ran: undefined, elements: 0 }, window.name);
  }
}

/** Our own pages, and those of the others beside them. */
function folderOfPages() {
  const folder = freshFolder();
  cpSync(fixture('../public'), folder, { recursive: true });
  for (const { at, file } of windows) if (file) writeFileSync(path.join(folder, at), forNobody(fixture(file)));
  return folder;
}

async function open(t, server, { at, enter }, when = 'first') {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(server.url + at);
  await enter(page, when);
  return page;
}

/** A page as it is for whoever is not logged in. */
function forNobody(file) {
  return readFileSync(file, 'utf8').replace(/<% if \(name\) \{ %>.*?<% \} else \{ %>(.*?)<% \} %>/, '$1');
}

async function enterTalk(page) {
  await eventually('the page is connected', () => page.evaluate(() => socket.connected));
}

async function enterAmqpChat(page, when) {
  const mail = `${when}@amqpchat.test`;
  const told = () => eventually('it is answered', () => page.textContent('#told'));
  await page.evaluate(([name, mail]) => register(name, mail), [`${NAME} ${when}`, mail]);
  const pass = await told();
  await page.evaluate(([mail, pass]) => login(mail, pass), [mail, pass]);
  await page.locator('#lines em', { hasText: `${NAME} ${when} joined the chat!` }).waitFor();
}

async function enterRabbit(page) {
  await page.evaluate((name) => join(name), `${NAME} Rob`);
  await page.locator('#lines p', { hasText: `${NAME} Rob joined the channel` }).waitFor();
}

async function enterInfinite(page) {
  await eventually('the history is shown', () => page.evaluate(() => state.arrays.length > 0));
  await page.fill('#who', `${NAME} Ida`);
}

async function enterNative(page, name) {
  await page.fill('#name-input', name);
  await page.press('#name-input', 'Enter');
  await page.locator('#connection[data-phase="online"]').waitFor({ state: 'attached' });
}

async function enterAccount(page, when) {
  await page.fill('#register-name', `${NAME} Acc ${when}`);
  await page.fill('#register-mail', `${when}@account.test`);
  await page.click('#register button');
  await page.click('#enter');
  await page.locator('#lines p', { hasText: 'joined the chat!' }).first().waitFor();
}

function byForm(box) {
  return async (page, text) => {
    await page.fill(box, text);
    await page.press(box, 'Enter');
  };
}

function bySocket(say) {
  return (page, text) => page.evaluate(say, text);
}

/** What ran, and what only markup could have brought into the page. */
async function found(page) {
  // What an image or a frame would run, runs after its load failed: a load of our own behind them tells when.
  await page.evaluate(() => new Promise((resolve) => {
    const image = new Image();
    image.onerror = image.onload = () => setTimeout(resolve);
    image.src = '/no-such-image';
  }));
  return page.evaluate(() => ({
    ran: window.ran,
    elements: document.querySelectorAll('[onerror], [onload], [onmouseover], iframe, img[src="x"], #lines script, #messages script').length,
  }));
}
