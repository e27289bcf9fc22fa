// Pages with accounts in a real browser: our own, and pages written to the contracts of AMQPChat and rabbitpubsub, whose
// templates the server renders.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser } from '../clients/browser.mjs';
import { join as joinLater, kinds as laterKinds } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';

const pages = (name) => fileURLToPath(new URL(`pages/${name}`, import.meta.url));
const later = laterKinds.find(({ name }) => name === '4.8 over websocket');
const ATTACK = '<img src=x onerror="window.attacked=1"><script>window.attacked=2</script>';

let browser;
before(async () => (browser = await openBrowser()));
after(() => browser?.close());

async function serve(t, args = []) {
  const server = await startServer({ args });
  t.after(() => server.stop());
  return server;
}

async function visit(t, address, context) {
  if (!context) {
    context = await browser.newContext();
    t.after(() => context.close());
  }
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(error.message));
  page.on('console', (message) => message.type() === 'error' && /policy|refused/i.test(message.text()) && page.problems.push(message.text()));
  await page.goto(address);
  return page;
}

const lines = (page) => page.locator('#lines > p').allTextContents();
const shows = (page, line) => eventually(`${line} is shown`, async () => {
  const all = await lines(page);
  if (all.includes(line)) return true;
  throw new Error(JSON.stringify(all.slice(-5)));
});
const attacked = (page) => page.evaluate(() => window.attacked);

test('on our own page one registers, reads the password, chats with talk, logs out and in, and stays logged in', async (t) => {
  const server = await serve(t);
  const talk = await joinLater(later, server.url);
  t.after(() => talk.close());
  talk.socket.emit('message', `before ${ATTACK}`);

  const page = await visit(t, `${server.url}/account.html`);
  await page.fill('#register-name', 'Ann <b>');
  await page.fill('#register-mail', 'ann@example.test');
  await page.click('#register button');
  await page.locator('#welcome').waitFor();
  const pass = await page.textContent('#password');
  assert.ok(pass.length >= 10, 'a password is shown');
  await page.click('#enter');
  await shows(page, 'Ann <b> joined the chat!');
  assert.deepEqual((await lines(page))[0], `Guest: before ${ATTACK}`);

  await page.fill('#text', `Ann <b> says ${ATTACK} & &lt;`);
  await page.press('#text', 'Enter');
  await shows(page, `Ann <b>: Ann <b> says ${ATTACK} & &lt;`);
  assert.equal(await page.locator('#lines .you').last().textContent(), 'Ann <b>');
  await eventually('talk is told', () => talk.messages.some(({ author, text }) => author === 'Ann &lt;b>' && text.startsWith('Ann &lt;b> says &lt;img')));
  talk.socket.emit('message', 'hello Ann <b>');
  await shows(page, 'Guest: hello Ann <b>');
  assert.equal(await attacked(page), undefined);

  await page.reload();
  await shows(page, 'Guest: hello Ann <b>');
  assert.equal(await page.textContent('#name'), 'Ann <b>');

  await server.restart();
  const again = await joinLater(later, server.url);
  t.after(() => again.close());
  again.socket.emit('message', 'after the restart');
  await shows(page, 'Guest: after the restart');
  await page.fill('#text', 'still me');
  await page.press('#text', 'Enter');
  await shows(page, 'Ann <b>: still me');
  assert.equal((await lines(page)).filter((line) => line.startsWith('Guest: hello')).length, 1, 'nothing is shown twice');

  await page.click('#logout');
  await page.goto(`${server.url}/account.html`);
  await page.locator('#gate').waitFor();
  await page.fill('#login-mail', 'ann@example.test');
  await page.fill('#login-pass', 'wrong');
  await page.click('#login button');
  await eventually('it is refused', async () => (await page.textContent('#problem-words')) === 'Email or password is wrong, please try again!');
  await page.fill('#login-pass', pass);
  await page.click('#login button');
  await shows(page, 'Ann <b>: still me');
  assert.deepEqual(page.problems, []);
});

test('who logs out in one window is shown the door in the other', async (t) => {
  const server = await serve(t);
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await visit(t, `${server.url}/account.html`, context);
  await page.fill('#register-name', 'Ann');
  await page.fill('#register-mail', 'ann@example.test');
  await page.click('#register button');
  await page.click('#enter');
  await shows(page, 'Ann joined the chat!');
  const other = await visit(t, `${server.url}/account.html`, context);
  await shows(other, 'Ann joined the chat!');
  await page.click('#logout');
  await other.locator('#gate').waitFor();
});

test("a page in AMQPChat's words, on another port than its chat, does all that its contract says", async (t) => {
  const server = await serve(t, ['--listen', '127.0.0.1:0', '--views', pages('amqpchat'), '--client', '0.9']);
  const [home, chat] = server.urls;
  const address = `${home}/?${new URLSearchParams({ chat })}`;
  const talk = await joinLater(later, server.url);
  t.after(() => talk.close());
  const page = await visit(t, address);
  const told = () => page.textContent('#told');
  const answered = async (what) => {
    await page.evaluate(() => (document.getElementById('told').textContent = ''));
    await what();
    return eventually('it is answered', told);
  };
  const pass = await answered(() => page.evaluate(() => register('Ann', 'ann@example.test')));
  assert.match(await answered(() => page.evaluate(() => register('Ann', 'other@example.test'))), /^The name Ann is already taken/);
  await answered(() => page.evaluate((attack) => register(attack, 'ann@example.test'), ATTACK));
  assert.equal(await answered(() => page.evaluate((pass) => login('ann@example.test', `${pass}x`), pass)), 'Email or password is wrong, please try again!');
  assert.equal(await answered(() => page.evaluate((pass) => login('ann@example.test', pass), pass)), 'Ann');
  await shows(page, 'Ann joined the chat!');

  await page.evaluate((attack) => socket.send(`I am Ann :) ${attack}`), ATTACK);
  await shows(page, `Ann: I am Ann :) ${ATTACK}`);
  assert.equal(await page.locator('#lines .you').textContent(), 'Ann');
  talk.socket.emit('message', `to all ${ATTACK}`);
  await shows(page, `Guest: to all ${ATTACK}`);
  assert.equal(await attacked(page), undefined);

  await page.reload();
  assert.equal(await page.textContent('#who'), 'Ann');
  await shows(page, `Guest: to all ${ATTACK}`);
  const other = await visit(t, address, page.context());
  await shows(other, `Guest: to all ${ATTACK}`);
  await page.evaluate(() => leave());
  await eventually('it is the page for nobody', async () => (await page.textContent('#who')) === 'nobody');
  assert.equal(await attacked(page), undefined);
  assert.deepEqual(page.problems, []);
});

test("a page in rabbitpubsub's words gives a name after it connected, and keeps it", async (t) => {
  const server = await serve(t, ['--views', pages('rabbitpubsub'), '--client', '0.9']);
  const talk = await joinLater(later, server.url);
  t.after(() => talk.close());
  const page = await visit(t, server.url);
  await page.evaluate((name) => join(name), 'Rob & <b>');
  await shows(page, 'Rob & <b> joined the channel');
  await page.evaluate((attack) => say(`/me says ${attack}`), ATTACK);
  await shows(page, `Rob & <b>: /me says ${ATTACK}`);
  talk.socket.emit('message', 'hello');
  await shows(page, 'Guest: hello');
  await page.reload();
  assert.equal(await page.textContent('#user'), 'Rob & <b>');
  await shows(page, 'Guest: hello');
  await shows(page, 'Rob & <b> joined the channel');
  assert.equal(await attacked(page), undefined);
  await page.goto(`${server.url}/logout`);
  assert.equal(await page.locator('#user').count(), 0);
  assert.deepEqual(page.problems, []);
});
