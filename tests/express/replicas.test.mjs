// Logins of two replicas on one Redis and one database: made on one, good on the other, ended on both, whatever fails
// in between; and so in a real browser.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { openBrowser } from '../clients/browser.mjs';
import { DEADLINE_MS, eventually, startServer } from '../clients/harness.mjs';
import { kinds } from '../legacy/clients.mjs';
import { openPage } from '../legacy/logins.mjs';
import { startRedis } from '../replicas/cluster.mjs';
import { Visitor, newcomer, startDatabase, viewsWith } from './parts.mjs';

const [polling, websocket] = ['xhr-polling', 'websocket'].map((way) => kinds.find((kind) => kind.release === '0.9.17' && kind.way === way));

let database;
before(async () => (database = await startDatabase()));
after(() => database?.stop());

let people = 0;
const someone = (name) => `${name}-${(people += 1)}`;

async function startTwo(t, more = []) {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const args = ['--redis', redis.url, '--database', database.url, '--session-secret', 'known to all replicas', '--views', viewsWith('<%= name %>'), '--legacy-transports', 'websocket,xhr-polling', ...more];
  const replicas = await Promise.all([startServer({ args }), startServer({ args })]);
  t.after(() => Promise.all(replicas.map((replica) => replica.stop())));
  return { redis, replicas };
}

/** A page on a replica, once it knows who it is. */
async function pageOf(t, kind, replica, visitor, name) {
  const page = await openPage(t, kind, replica, visitor);
  assert.equal(await new Promise((resolve) => page.socket.emit('joined', resolve)), name);
  return page;
}

/** Whoever this visitor is to a replica; an error where it does not know. */
async function who(t, replica, visitor, deadlineMs = DEADLINE_MS) {
  const page = await openPage(t, websocket, replica, visitor, { silent: true });
  const name = await new Promise((resolve, reject) => {
    page.socket.emit('joined', resolve);
    page.socket.on('disconnect', (reason) => reject(new Error(`sent away: ${reason}`)));
    setTimeout(() => reject(new Error('no answer')), deadlineMs).unref();
  });
  page.close();
  return name;
}

const says = (page, text) => eventually(`${text} is told`, () => page.told.some(({ message }) => message === text));
const isSentAway = (page) => eventually('it is sent away', () => page.disconnects.length > 0);

test('whoever logs out on one replica loses the sockets on the other at once, and nobody else does', async (t) => {
  const { replicas: [a, b] } = await startTwo(t);
  const [ann, bob] = [someone('Ann'), someone('Bob')];
  const [anns, bobs] = [await newcomer(a, ann), await newcomer(b, bob)];
  const elsewhere = new Visitor();
  await elsewhere.json(b, '/login', { mail: anns.mail, pass: anns.pass });
  const pages = [await pageOf(t, polling, b, anns, ann), await pageOf(t, websocket, b, anns, ann), await pageOf(t, websocket, a, anns, ann)];
  const others = [await pageOf(t, websocket, b, bobs, bob), await pageOf(t, websocket, a, elsewhere, ann)];
  others[0].socket.send('seen on both');
  for (const page of [...pages, ...others]) await says(page, 'seen on both');

  const thief = anns.twin();
  const start = performance.now();
  assert.equal((await anns.ask(a, '/logout')).status, 302);
  for (const page of pages) await isSentAway(page);
  t.diagnostic(`all sent away ${Math.round(performance.now() - start)} ms after the logout was asked for`);
  for (const page of pages) assert.deepEqual(page.disconnects, ['booted']);
  for (const replica of [a, b]) assert.equal(await who(t, replica, thief), null);
  for (const page of others) assert.ok(page.isConnected());

  assert.equal((await elsewhere.ask(b, '/logout?everywhere')).status, 302);
  await isSentAway(others[1]);
  assert.ok(others[0].isConnected());
});

test('all logins of an account end at once, on whichever replica they are', async (t) => {
  const { replicas: [a, b] } = await startTwo(t);
  const ann = someone('Ann');
  const first = await newcomer(a, ann);
  const logins = [first, new Visitor(), new Visitor()];
  for (const [i, login] of logins.entries()) {
    if (login !== first) await login.json([a, b][i % 2], '/login', { mail: first.mail, pass: first.pass });
  }
  const pages = [];
  for (const login of logins) for (const replica of [a, b]) pages.push(await pageOf(t, websocket, replica, login, ann));
  await logins[1].ask(b, '/logout?everywhere');
  for (const page of pages) await isSentAway(page);
  for (const login of logins) assert.equal(await who(t, a, login), null);
});

test('a login outlives the replica that it was made on', async (t) => {
  const { replicas: [a, b] } = await startTwo(t);
  const ann = someone('Ann');
  const login = await newcomer(a, ann);
  const page = await pageOf(t, websocket, b, login, ann);
  await a.kill9();
  page.socket.send('still here');
  await says(page, 'still here');
  assert.equal(await who(t, b, login), ann);
  await a.restart();
  assert.equal(await who(t, a, login), ann);
  const there = await pageOf(t, websocket, a, login, ann);
  await login.twin().ask(b, '/logout');
  for (const each of [page, there]) await isSentAway(each);
});

test('whoever guesses has no more tries on two replicas than on one, and neither of them gets more', async (t) => {
  const { replicas } = await startTwo(t, ['--account-failures', '4']);
  const told = async (replica, pass) => (await new Visitor().json(replica, '/login', { mail: 'nobody@mail.example', pass })).error;
  const answers = [];
  for (let n = 0; n < 6; n += 1) answers.push(await told(replicas[n % 2], 'a guess'));
  assert.equal(new Set(answers.slice(0, 4)).size, 1);
  for (const refused of answers.slice(4)) assert.match(refused, /too often/);
  assert.doesNotMatch(answers[0], /too often/);
});

test('while Redis is away sockets stay, nobody is logged in or out, and whoever asks is told to try again', async (t) => {
  const { redis, replicas: [a, b] } = await startTwo(t);
  const ann = someone('Ann');
  const login = await newcomer(a, ann);
  const page = await pageOf(t, websocket, b, login, ann);
  const { cookie } = login;
  await redis.kill9();
  for (const address of ['/', '/logout']) {
    const { status, retryAfter, text } = await login.ask(a, address);
    assert.deepEqual([status, retryAfter], [503, '2'], address);
    assert.match(text, /try again/);
  }
  assert.equal(login.cookie, cookie, 'it keeps its cookie');
  const again = await login.twin().ask(b, '/login', { mail: login.mail, pass: login.pass });
  assert.equal(again.status, 200);
  assert.match(JSON.parse(again.text).error, /try again/);
  const late = await openPage(t, websocket, a, login, { silent: true });
  await eventually('it is told to come back', () => late.disconnects.length > 0);
  assert.notDeepEqual(late.disconnects, ['booted']);
  assert.ok(page.isConnected());

  await redis.restart();
  // Whoever asks too early is never answered.
  await eventually('the login counts', async () => (await who(t, a, login, 5_000)) === ann);
  assert.deepEqual(await login.ask(b, '/').then(({ status, text }) => [status, text]), [200, ann]);
  page.socket.send('all the same');
  await eventually('it is told', () => page.told.some(({ message }) => message === 'all the same'));
  assert.deepEqual(page.disconnects, []);
  for (const replica of [a, b]) {
    const log = replica.log();
    assert.match(log, /redis is away/);
    assert.ok(!log.includes(cookie.split('.')[1]), 'no secret in the log');
    assert.ok(!log.includes(login.id), 'no id in the log');
  }
  await login.ask(a, '/logout');
  await isSentAway(page);
});

test('replicas without accounts say so, serve their rooms, and know nobody', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const server = await startServer({ args: ['--redis', redis.url] });
  t.after(() => server.stop());
  assert.equal(server.log().match(/logins are off: .*--session-secret and --database mysql:/g)?.length, 1);
  const visitor = new Visitor();
  for (const [address, form] of [['/register', { name: 'Ann', mail: 'a@mail.example' }], ['/login', { mail: 'a@mail.example', pass: 'x' }], ['/user', { user: 'Ann' }], ['/logout']]) {
    const { status, text } = await visitor.ask(server, address, form);
    assert.deepEqual([status, JSON.parse(text)], [404, { error: 'There are no accounts on this server!' }], address);
  }
  assert.equal(visitor.cookie, '');
  const page = await openPage(t, websocket, server, { cookie: 'jsessionid=s%3Aabc.def' }, { silent: true });
  assert.equal(await new Promise((resolve) => page.socket.emit('joined', resolve)), null);
});

test('in a browser one registers on one replica, chats on the other, and is logged out of both', async (t) => {
  const { replicas: [a, b] } = await startTwo(t);
  const browser = await openBrowser();
  t.after(() => browser.close());
  const context = await browser.newContext();
  const visit = async (replica) => {
    const page = await context.newPage();
    page.problems = [];
    page.on('pageerror', (error) => page.problems.push(error.message));
    await page.goto(`${replica.url}/account.html`);
    return page;
  };
  const name = someone('Ann');
  const first = await visit(a);
  await first.fill('#register-name', name);
  await first.fill('#register-mail', `${name}@mail.example`);
  await first.click('#register button');
  await first.locator('#welcome').waitFor();
  await first.click('#enter');
  await first.locator('#room').waitFor();

  const second = await visit(b);
  await second.locator('#room').waitFor();
  assert.equal(await second.textContent('#name'), name);
  await second.fill('#text', 'from the other replica');
  await second.press('#text', 'Enter');
  for (const page of [first, second]) await page.getByText('from the other replica').waitFor();

  await first.click('#logout');
  await first.waitForURL(`${a.url}/`);
  await second.locator('#gate').waitFor();
  assert.equal(await second.isVisible('#room'), false);
  await second.reload();
  await second.locator('#gate').waitFor();
  assert.deepEqual([...first.problems, ...second.problems], []);
});
