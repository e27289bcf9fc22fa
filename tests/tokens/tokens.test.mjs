// Who somebody is to the application that the chat belongs to, as real clients tell it: where a token may be, what
// is refused and in which words, and that no token is ever logged.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { current, join, kinds } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { send, webSocket } from '../clients/wire.mjs';
import { join as joinOld, kinds as oldKinds } from '../legacy/clients.mjs';
import { SECRET as key, inSeconds, pair, token } from './signing.mjs';

const OLD_SECRET = 'what they knew before, and may still be used';
const kind = (name) => kinds.find((each) => each.name === name);

let server;
before(async () => {
  server = await startServer({ env: { HANDSHAKEN_JWT_SECRET: `${key}\n${OLD_SECRET}\n` } });
});
after(() => server.stop());

const ann = () => token({ data: { id: 7 }, name: 'Ann' }, { key });

async function chat(t, options = {}, which = current) {
  const peer = await join(which, server.url, { namespace: '/chat', ...options });
  t.after(() => peer.close());
  return peer;
}

async function refused(answer, code, message) {
  assert.equal(answer.ok, false, JSON.stringify(answer));
  assert.equal(answer.error.code, code, JSON.stringify(answer));
  assert.match(answer.error.message, message);
  assert.equal(answer.error.retry, false);
}

for (const each of kinds) {
  test(`${each.name} brings its token in the query`, async (t) => {
    const peer = await chat(t, { query: { token: ann() } }, each);
    const hello = await peer.request('hello', { name: 'ignored' });
    assert.deepEqual([hello.ok, hello.user, hello.name], [true, '7', 'Ann'], JSON.stringify(hello));
  });
}

for (const each of oldKinds) {
  test(`${each.name} brings its token in the query`, async (t) => {
    const peer = await joinOld(t, each, server.url, { namespace: '/chat', query: `token=${ann()}` });
    const hello = await peer.request('hello', {});
    assert.deepEqual([hello.ok, hello.user, hello.name], [true, '7', 'Ann'], JSON.stringify(hello));
  });
}

test('a token is taken from the CONNECT payload, the header and hello, and the old secret is as good', async (t) => {
  const old = token({ sub: 'ann' }, { key: OLD_SECRET });
  for (const [where, options, hello, user] of [
    ['auth', { auth: { token: ann() } }, {}, '7'],
    ['header', { extraHeaders: { authorization: `Bearer ${ann()}` } }, {}, '7'],
    ['hello', {}, { token: ann() }, '7'],
    ['all of them', { auth: { token: old }, query: { token: old } }, { name: 'Chosen' }, 'ann'],
  ]) {
    const answer = await (await chat(t, options)).request('hello', hello);
    assert.deepEqual([answer.ok, answer.user], [true, user], `${where}: ${JSON.stringify(answer)}`);
    assert.equal(answer.name, hello.name ?? 'Ann');
  }
});

test('whoever has no token chats on, as nobody in particular', async (t) => {
  const hello = await (await chat(t)).request('hello', { name: 'somebody' });
  assert.deepEqual([hello.ok, hello.user], [true, null]);
  const nameless = await (await chat(t, { auth: { token: token({ sub: 'x' }, { key }) } })).request('hello', {});
  await refused(nameless, 'bad_request', /missing/);
});

test('who somebody is, is told to the room, and a hello that fails changes nothing of it', async (t) => {
  const people = (peer) => peer.request('join', { room: 'who' }).then(({ people }) => people);
  const peer = await chat(t, { auth: { token: ann() } });
  await peer.request('hello', {});
  const { id } = await peer.request('hello', { name: 'another name' });
  assert.deepEqual((await people(peer)).find((each) => each.id === id), { id, name: 'Ann', user: '7' });
  // A token of somebody else, but no name: refused as a whole.
  await refused(await peer.request('hello', { token: token({ sub: 'bob' }, { key }) }), 'bad_request', /missing/);
  assert.deepEqual((await people(peer)).find((each) => each.id === id), { id, name: 'Ann', user: '7' });

  const impostor = await chat(t);
  const told = await impostor.request('hello', { name: 'Ann' });
  assert.deepEqual((await people(impostor)).find((each) => each.id === told.id), { id: told.id, name: 'Ann' });

  const changed = await peer.request('hello', { name: 'Bob', token: token({ sub: 'bob' }, { key }) });
  assert.deepEqual([changed.user, changed.name], ['bob', 'Bob']);
  assert.deepEqual((await people(peer)).find((each) => each.id === id), { id, name: 'Bob', user: 'bob' });
});

test('what is wrong with a token is told, and not how to make a better one', async (t) => {
  const other = pair('RS256', 'k');
  const pem = other.publicKey.export({ type: 'spki', format: 'pem' });
  const good = ann();
  const wrong = [
    ['cut', good.slice(0, -5)],
    ['changed', good.replace(/\.[^.]*\./, `.${Buffer.from(JSON.stringify({ data: { id: 1 }, exp: inSeconds(60) })).toString('base64url')}.`)],
    ['unsigned', token({ data: { id: 7 } }, { alg: 'none' })],
    ['signed with another secret', token({ data: { id: 7 } }, { key: 'guessed' })],
    ['signed with a public key as secret', token({ data: { id: 7 } }, { key: pem })],
    ['signed with a private key', other.sign({ data: { id: 7 } })],
    ['of nobody', token({ data: {} }, { key })],
    ['without an end', token({ data: { id: 7 }, exp: undefined }, { key })],
    ['huge', token({ data: { id: 7 }, more: 'x'.repeat(60_000) }, { key })],
    ['empty', ''],
    ['no token at all', '🎫'.repeat(1000)],
  ];
  const peer = await chat(t);
  for (const [what, given] of wrong) {
    const answer = await peer.request('hello', { name: 'x', token: given });
    await refused(answer, 'token_invalid', /^the token is not valid$/);
    assert.ok(!JSON.stringify(answer).includes('signature'), what);
  }
  await refused(await peer.request('hello', { token: token({ sub: 'a', exp: inSeconds(-1) }, { key }) }), 'token_expired', /expired/);
  await refused(await peer.request('hello', { name: 'x', token: 7 }), 'bad_request', /shape/);
  const hello = await peer.request('hello', { name: 'after all' });
  assert.deepEqual([hello.ok, hello.user], [true, null], 'the connection goes on as nobody');
});

test('whoever brought a token that is refused is nobody only once another connection brings none', async (t) => {
  const peer = await chat(t, { auth: { token: token({ sub: 'a' }, { key: 'guessed' }) } });
  for (let hellos = 0; hellos < 2; hellos += 1) {
    await refused(await peer.request('hello', { name: 'x' }), 'token_invalid', /^the token is not valid$/);
  }
  const better = await peer.request('hello', { token: ann() });
  assert.deepEqual([better.ok, better.user], [true, '7']);
  const renamed = await peer.request('hello', { name: 'x' });
  assert.deepEqual([renamed.ok, renamed.user], [true, '7']);
});

test('two tokens are too many', async (t) => {
  const peer = await chat(t, { query: { token: ann() }, auth: { token: token({ sub: 'other' }, { key }) } });
  await refused(await peer.request('hello', { name: 'x' }), 'token_invalid', /more than one/);

  const wire = await webSocket(server, { query: `token=${ann()}&token=${ann()}` });
  t.after(wire.close);
  wire.send('40/chat,');
  await eventually('it is in the namespace', () => wire.frames.some((frame) => frame.startsWith('40/chat,')));
  wire.send('42/chat,0["hello",{"name":"x"}]');
  const answer = await eventually('hello is answered', () => wire.frames.find((frame) => frame.startsWith('43/chat,0')));
  await refused(JSON.parse(answer.slice('43/chat,0'.length))[0], 'token_invalid', /more than one/);
});

test('a query of 100 KB is refused and the server goes on', async (t) => {
  const answer = await send(server, 'GET', `EIO=4&transport=polling&token=${'x'.repeat(100_000)}`).catch((error) => error);
  assert.ok(answer instanceof Error || answer.status >= 400, answer.status);
  assert.equal((await (await chat(t)).request('hello', { token: ann() })).ok, true);
});

test('a connection ends with its token, and is told why; a new token in time keeps it', async (t) => {
  const strict = await startServer({ args: ['--jwt-secret', key, '--jwt-grace', '0s'] });
  t.after(() => strict.stop());
  const short = () => token({ sub: 'ann', name: 'Ann', exp: inSeconds(3) }, { key });
  for (const each of ['4.8 over websocket', '4.8 over upgrade', '1.7.4 over websocket'].map(kind)) {
    const peer = await join(each, strict.url, { namespace: '/chat' });
    const kept = await join(each, strict.url, { namespace: '/chat' });
    t.after(() => (peer.close(), kept.close()));
    let goodbye;
    let left;
    peer.socket.on('goodbye', (told) => (goodbye = told));
    peer.socket.on('disconnect', (reason) => (left = reason));
    assert.equal((await peer.request('hello', { token: short() })).ok, true);
    assert.equal((await kept.request('hello', { token: short() })).ok, true);
    assert.equal((await kept.request('hello', { token: token({ sub: 'ann', name: 'Ann' }, { key }) })).ok, true);
    await eventually(`${each.name} is sent away`, () => left);
    assert.deepEqual(goodbye, { code: 'token_expired', message: 'the token has expired', reconnect: false });
    assert.equal(left, 'io server disconnect');
    assert.equal((await kept.request('rooms', {})).ok, true, 'the other one is still there');
  }
});

test('grace lets a connection go on for a while', async (t) => {
  const patient = await startServer({ args: ['--jwt-secret', key, '--jwt-grace', '1h'] });
  t.after(() => patient.stop());
  const peer = await join(current, patient.url, { namespace: '/chat' });
  t.after(() => peer.close());
  const end = inSeconds(2);
  assert.equal((await peer.request('hello', { token: token({ sub: 'a', name: 'A', exp: end }, { key }) })).ok, true);
  // Two looks past the end.
  await eventually('the token has expired', () => inSeconds(0) > end + 2);
  assert.equal((await peer.request('rooms', {})).ok, true);
  await refused(await peer.request('hello', { token: token({ sub: 'a', exp: end }, { key }) }), 'token_expired', /expired/);
});

test('a server without secrets and keys takes no tokens, and a query of that name means nothing to it', async (t) => {
  const plain = await startServer();
  t.after(() => plain.stop());
  const peer = await join(current, plain.url, { namespace: '/chat', query: { token: 'anything' } });
  t.after(() => peer.close());
  assert.equal((await peer.request('hello', { name: 'x' })).user, null);
  await refused(await peer.request('hello', { name: 'x', token: ann() }), 'no_tokens', /takes no tokens/);
});

test('no token and no secret is ever logged, however much is', async (t) => {
  const talkative = await startServer({ args: ['--jwt-secret', key, '--jwt-grace', '0s'], env: { RUST_LOG: 'trace' } });
  t.after(() => talkative.stop());
  const marks = [];
  const marked = (claims = {}) => {
    const made = token({ sub: 'ann', name: 'Ann', mark: marks.length, ...claims }, { key });
    marks.push(made.split('.')[1], made.split('.')[2]);
    return made;
  };
  const ways = (made) => [{ query: { token: made() } }, { auth: { token: made() } }, { extraHeaders: { authorization: `Bearer ${made()}` } }];
  for (const each of ['1.4.5 over websocket', '2.5.0 over upgrade', '4.8 over websocket', '4.8 over polling'].map(kind)) {
    for (const claims of [{}, { exp: 1 }, { exp: 'never' }]) {
      for (const options of ways(() => marked(claims))) {
        const peer = await join(each, talkative.url, { namespace: '/chat', ...options });
        await peer.request('hello', { name: 'x' });
        await peer.request('hello', { name: 'x', token: marked(claims) });
        peer.close();
      }
    }
  }
  const old = await joinOld(t, oldKinds.find(({ name }) => name === '0.9.17 over xhr-polling'), talkative.url, { namespace: '/chat', query: `token=${marked()}` });
  await old.request('hello', {});
  await send(talkative, 'GET', `EIO=4&transport=polling&sid=none&token=${marked()}`);
  await send(talkative, 'GET', `EIO=9&transport=bogus&token=${marked()}`);
  await send(talkative, 'GET', `token=${marked()}`, { path: '/socket.io/1/' });
  await send(talkative, 'GET', `token=${marked()}`, { path: '/nothing/here' });
  const ending = await join(current, talkative.url, { namespace: '/chat' });
  await ending.request('hello', { token: marked({ exp: inSeconds(2) }) });
  await eventually('one is sent away', () => !ending.socket.connected);
  await talkative.stop();
  const log = talkative.log();
  assert.match(log, /refused a token/);
  for (const mark of marks) assert.ok(!log.includes(mark), log.split('\n').find((line) => line.includes(mark)));
  assert.ok(!log.includes(key));
});
