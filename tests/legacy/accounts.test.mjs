// AMQPChat and rabbitpubsub by real 0.9 clients, in the words of their contract: who says something is who is logged in, both
// see each other, talk and the native page, and nobody's text becomes markup.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { join as joinLater, kinds as laterKinds } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { join, kinds } from './clients.mjs';
import { badNetwork, newcomer, openPage, post, visitor } from './logins.mjs';

const later = laterKinds.find(({ name }) => name === '4.8 over websocket');
const [polling, websocket] = kinds.filter(({ release }) => release === '0.9.17');
const messages = (page) => page.told.filter(({ action }) => action === 'message');
/** What a page was told, without the ids of messages. */
const withoutId = ({ id, ...told }) => told;
const finds = (page, expected) => eventually(`${JSON.stringify(expected)} is told`, () => {
  if (page.told.some((told) => JSON.stringify(withoutId(told)) === JSON.stringify(expected))) return true;
  throw new Error(`last told: ${JSON.stringify(page.told.slice(-3))}`);
});

describe('in one lobby', () => {
  let server;
  before(async () => (server = await startServer()));
  after(() => server.stop());

  for (const kind of kinds) {
    test(`${kind.name}: AMQPChat, rabbitpubsub, talk and the native page see each other, each in its words`, async (t) => {
      const [ann, rob] = [`Ann ${kind.name}`, `Rob ${kind.name}`];
      const native = await joinLater(later, server.url, { namespace: '/chat' });
      t.after(() => native.close());
      const people = [];
      native.socket.on('people', (change) => people.push(change));
      await native.request('hello', { name: 'Nat' });
      await native.request('join', { room: 'lobby' });
      const talk = await joinLater(later, server.url);
      t.after(() => talk.close());

      const chatter = await openPage(t, kind, server, await newcomer(server, ann));
      await finds(chatter, { action: 'system', name: ann, message: ' joined the chat!' });
      const rabbit = await openPage(t, kind, server, await visitor(server, rob), { joining: 'join' });
      await finds(chatter, { action: 'system', name: rob, message: ' joined the chat!' });
      await finds(rabbit, { action: 'control', user: rob, msg: ' joined the channel' });
      for (const name of [ann, rob]) {
        await eventually(`${name} is seen`, () => people.some(({ joined }) => joined.some((person) => person.name === name)));
      }

      chatter.socket.send(`hi, ${ann} here: <b>✓😀</b>`);
      const mark = `<b class="you">${ann}</b>`;
      await finds(chatter, { action: 'message', name: ann, message: `hi, ${mark} here: &lt;b>✓😀&lt;/b>` });
      await finds(rabbit, { action: 'message', user: ann, msg: `hi, ${ann} here: <b>✓😀</b>` });
      const said = (peer, author, text) => eventually('it is told there', () => peer.messages.some((message) => message.author === author && message.text === text));
      await said(native, ann, `hi, ${ann} here: <b>✓😀</b>`);
      await said(talk, ann, `hi, ${ann} here: &lt;b>✓😀&lt;/b>`);

      rabbit.socket.emit('chat', JSON.stringify({ action: 'message', msg: `/me waves at ${ann}`, user: 'Somebody Else' }));
      await finds(chatter, { action: 'message', name: rob, message: `/me waves at ${ann}` });
      await finds(rabbit, { action: 'message', user: rob, msg: `/me waves at ${ann}` });
      await said(native, rob, `/me waves at ${ann}`);

      talk.socket.emit('message', `nobody, to ${kind.name}`);
      await finds(chatter, { action: 'message', name: 'Guest', message: `nobody, to ${kind.name}` });
      await finds(rabbit, { action: 'message', user: 'Guest', msg: `nobody, to ${kind.name}` });

      const words = (page) => messages(page).slice(-3).map((told) => told.message ?? told.msg);
      assert.deepEqual(words(chatter), [`hi, ${mark} here: &lt;b>✓😀&lt;/b>`, `/me waves at ${ann}`, `nobody, to ${kind.name}`]);

      chatter.socket.emit('left');
      await finds(rabbit, { action: 'control', user: ann, msg: ' left the channel' });
      await finds(chatter, { action: 'system', name: ann, message: ' left the chat!' });
      assert.equal(rabbit.told.filter(({ msg }) => msg === ' left the channel').length, 1);
      chatter.close();
      await eventually('it is gone', () => people.some(({ left }) => left.length > 0));
    });

    test(`${kind.name}: a page that was opened before its user gave a name speaks once it has one`, async (t) => {
      // The visitor's first cookie, of a session that there is not yet.
      const first = await fetch(`${server.url}/user`, { method: 'POST', body: new URLSearchParams({ user: 'x' }) });
      const cookie = first.headers.getSetCookie()[0].split(';')[0];
      await fetch(`${server.url}/logout`, { headers: { cookie, referer: server.url }, redirect: 'manual' });
      const page = await openPage(t, kind, server, { cookie }, { silent: true });
      const name = `Late ${kind.name}`;
      const named = await post(server, '/user', { user: name }, cookie);
      assert.deepEqual(named.told, { error: '' });
      page.socket.emit('join', '{}');
      if (named.cookie === cookie) await finds(page, { action: 'control', user: name, msg: ' joined the channel' });
    });

    test(`${kind.name}: a page that comes back without a word misses nothing and is told nothing twice`, async (t) => {
      const name = `Back ${kind.name}`;
      const login = await newcomer(server, name);
      const first = await openPage(t, kind, server, login);
      await finds(first, { action: 'system', name, message: ' joined the chat!' });
      const texts = Array.from({ length: 5 }, (_, i) => `${name} ${i}`);
      for (const text of texts) first.socket.send(text);
      const own = (page) => messages(page).filter((told) => told.name === name).map(({ message }) => message.replace(/<.*?>/g, ''));
      await eventually('all is told', () => own(first).length === texts.length);
      first.close();
      const talk = await joinLater(later, server.url);
      t.after(() => talk.close());
      talk.socket.emit('message', `while ${name} was away`);
      await eventually('it is kept', () => talk.texts().includes(`while ${name} was away`));
      // As the library does that is served here.
      const after = messages(first).at(-1).id;
      const again = await openPage(t, kind, server, login, { silent: true, query: `after=${after}` });
      await finds(again, { action: 'message', name: 'Guest', message: `while ${name} was away` });
      again.socket.send(`${name} is back`);
      await eventually('it goes on', () => own(again).length > 0);
      assert.deepEqual(own(again), [`${name} is back`]);
      // One that was just opened shows nothing yet.
      const fresh = await openPage(t, kind, server, login);
      await finds(fresh, { action: 'system', name, message: ' joined the chat!' });
      assert.deepEqual(own(fresh), [...texts, `${name} is back`]);
      assert.equal(fresh.told.at(-1).action, 'system', 'what was said comes first');
    });
  }
});

test('what a page was sent over a connection that was lost by then, it is told when it comes back', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const talk = await joinLater(later, server.url);
  t.after(() => talk.close());
  const [login, network] = [await newcomer(server, 'Ann'), await badNetwork(t, server)];
  const page = await openPage(t, websocket, network, login);
  await finds(page, { action: 'system', name: 'Ann', message: ' joined the chat!' });
  talk.socket.emit('message', 'into the page');
  await finds(page, { action: 'message', name: 'Guest', message: 'into the page' });
  network.lose();
  talk.socket.emit('message', 'into the void');
  await eventually('the server has sent it', () => network.lost().includes('into the void'));
  network.cut();
  const again = await openPage(t, websocket, server, login, { silent: true, query: `after=${messages(page).at(-1).id}` });
  await finds(again, { action: 'message', name: 'Guest', message: 'into the void' });
  assert.deepEqual(messages(again).map(({ message }) => message), ['into the void']);
});

test('nobody whose login is over says anything, whatever it claims', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const talk = await joinLater(later, server.url);
  t.after(() => talk.close());
  const login = await newcomer(server, 'Gone');
  await fetch(`${server.url}/logout`, { headers: { cookie: login.cookie, referer: server.url }, redirect: 'manual' });
  for (const kind of [polling, websocket]) {
    const page = await openPage(t, kind, server, login);
    page.socket.send('not heard');
    page.socket.emit('message', 'not heard either');
    page.socket.emit('chat', JSON.stringify({ msg: 'nor this', user: 'Gone' }));
    const name = await new Promise((resolve) => page.socket.emit('joined', resolve));
    assert.equal(name, null);
    // Each page in its words.
    await finds(page, { action: 'system', name: 'Not sent: ', message: 'nobody is logged in, load the page again' });
    await finds(page, { action: 'control', user: 'Not sent:', msg: 'nobody is logged in, load the page again' });
  }
  talk.socket.emit('message', 'the end');
  await eventually('the end is told', () => talk.texts().includes('the end'));
  assert.deepEqual(talk.texts(), ['the end']);
});

test('a page that lost its cookie says nothing where pages with logins are shown, and whoever logs in there speaks', async (t) => {
  const views = fileURLToPath(new URL('pages/amqpchat', import.meta.url));
  const server = await startServer({ args: ['--views', views, '--legacy-transports', 'websocket,xhr-polling'] });
  t.after(() => server.stop());
  const talk = await joinLater(later, server.url);
  t.after(() => talk.close());
  for (const kind of [polling, websocket]) {
    const page = await join(t, kind, server.url);
    page.socket.send('not heard');
    page.socket.emit('message', 'not heard either');
    page.socket.emit('chat', JSON.stringify({ msg: 'nor this' }));
    const name = await new Promise((resolve) => page.socket.emit('joined', resolve));
    assert.equal(name, null);
  }
  const ann = await openPage(t, websocket, server, await newcomer(server, 'Ann'));
  ann.socket.send('by Ann');
  await finds(ann, { action: 'message', name: 'Ann', message: 'by <b class="you">Ann</b>' });
  talk.socket.emit('message', 'the end');
  await eventually('the end is told', () => talk.texts().includes('the end'));
  assert.deepEqual(talk.texts(), ['by Ann', 'the end']);
});

test('whoever logs out loses all connections of the login, and no others', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const [ann, bob] = [await newcomer(server, 'Ann'), await newcomer(server, 'Bob')];
  const pages = [await openPage(t, polling, server, ann), await openPage(t, websocket, server, ann)];
  const other = await openPage(t, polling, server, bob);
  for (const page of pages) {
    assert.equal(await new Promise((resolve) => page.socket.emit('joined', resolve)), 'Ann');
  }
  const answer = await fetch(`${server.url}/logout`, { headers: { cookie: ann.cookie, referer: server.url }, redirect: 'manual' });
  assert.deepEqual([answer.status, answer.headers.get('location')], [302, '/']);
  for (const page of pages) await eventually('it is sent away', () => page.disconnects.length > 0);
  for (const page of pages) assert.deepEqual(page.disconnects, ['booted']);
  other.socket.send('still here');
  await finds(other, { action: 'message', name: 'Bob', message: 'still here' });
});

test('a login outlives the server, and a page that comes back is told what it missed once', async (t) => {
  const server = await startServer();
  const login = await newcomer(server, 'Ann');
  const page = await openPage(t, websocket, server, login, { reconnect: true });
  t.after(() => server.stop());
  page.socket.send('before');
  await eventually('it is told', () => messages(page).length === 1);
  page.socket.socket.options.query = `after=${messages(page)[0].id}`;
  await server.kill9();
  await eventually('it notices', () => !page.isConnected());
  await server.restart();
  const talk = await join(t, websocket, server.url);
  talk.socket.emit('message', 'early');
  // By another connection: nothing else says which of the two is said first.
  await eventually('it is kept', () => talk.texts().includes('early'));
  await eventually('it is back', () => page.isConnected() && page.connections > 1);
  page.socket.send('after');
  await eventually('all is told', () => messages(page).length >= 3);
  assert.deepEqual(messages(page).map(({ name, message }) => [name, message]), [['Ann', 'before'], ['Guest', 'early'], ['Ann', 'after']]);
});

test('what is not taken is told to its sender alone, in its words, and the page goes on', async (t) => {
  const server = await startServer({ args: ['--max-message', '2000'] });
  t.after(() => server.stop());
  const [chatter, rabbit] = [
    await openPage(t, websocket, server, await newcomer(server, 'Ann')),
    await openPage(t, websocket, server, await visitor(server, 'Rob'), { joining: 'join' }),
  ];
  await finds(chatter, { action: 'system', name: 'Rob', message: ' joined the chat!' });
  chatter.socket.send('x'.repeat(1_800));
  await finds(chatter, { action: 'system', name: 'Not sent: ', message: 'text is longer than 1500 bytes' });
  chatter.socket.send('  ');
  await finds(chatter, { action: 'system', name: 'Not sent: ', message: 'text is empty' });
  for (const odd of [{ not: 'a text' }, [], null, 7]) chatter.socket.json.send(odd);
  chatter.socket.emit('joined', { again: true });
  chatter.socket.emit('nothing known', 1, 2, 3);
  for (const odd of ['no JSON', '{}', '[]', '{"msg":7}', { msg: 'bare' }, null, '{"msg":"two","msg":"two"}']) rabbit.socket.emit('chat', odd);
  rabbit.socket.emit('chat', JSON.stringify({ msg: ' ' }));
  await finds(rabbit, { action: 'control', user: 'Not sent:', msg: 'text is empty' });
  rabbit.socket.emit('chat', JSON.stringify({ msg: 'well' }));
  await finds(chatter, { action: 'message', name: 'Rob', message: 'well' });
  await finds(rabbit, { action: 'message', user: 'Rob', msg: 'well' });
  assert.deepEqual(messages(chatter).map(({ message }) => message), ['well']);
  assert.equal(chatter.told.filter(({ message }) => message === ' joined the chat!').length, 2, 'joined once each');
  assert.ok(!rabbit.told.some(({ msg }) => msg.includes('longer')));
  const log = server.log();
  assert.match(log, /refused an event/);
  // Who asks for an answer gets one: the page's own, or the reason.
  const empty = { error: 'text is empty' };
  assert.deepEqual(await chatter.request('message', ' '), empty);
  assert.deepEqual(await rabbit.request('chat', JSON.stringify({ msg: ' ' })), empty);
  assert.deepEqual(await chatter.request('message', 'x'.repeat(1_800)), { error: 'text is longer than 1500 bytes' });
  assert.deepEqual(await chatter.request('nothing known', 1), { error: 'no such event' });
  assert.deepEqual(await rabbit.request('chat', 'no JSON'), { error: 'payload has no text `msg`' });
  assert.match(await rabbit.request('chat', JSON.stringify({ msg: 'taken' })), /^\d+-/);
  assert.equal(await chatter.request('left'), 'Ann');
});

test('names that are markup stay text, and a text of nothing but names cuts nobody off', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const evil = '<img src=x onerror=alert(1)>';
  const page = await openPage(t, websocket, server, await newcomer(server, 'A'));
  await finds(page, { action: 'system', name: 'A', message: ' joined the chat!' });
  const rabbit = await openPage(t, websocket, server, await visitor(server, evil), { joining: 'join' });
  await finds(page, { action: 'system', name: '&lt;img src=x onerror=alert(1)&gt;', message: ' joined the chat!' });
  rabbit.socket.emit('chat', JSON.stringify({ msg: `${evil} it is` }));
  await finds(rabbit, { action: 'message', user: evil, msg: `${evil} it is` });
  await eventually('it is told', () => messages(page).length === 1);
  assert.ok(!/<(?!\/?b[ >])/.test(messages(page)[0].message), messages(page)[0].message);
  page.socket.send('A'.repeat(90_000));
  await eventually('it is told', () => messages(page).length === 2);
  page.socket.send('and on');
  await eventually('it goes on', () => messages(page).length === 3);
});
