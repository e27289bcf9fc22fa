// The old page for two at /kschat: its template gets what its address says, and nothing that could end a text of its
// script; a token is made for it only where that was asked for, and for nobody outside of this machine.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { current, join } from '../clients/generations.mjs';
import { check, freshFolder, startServer } from '../clients/harness.mjs';
import { send } from '../clients/wire.mjs';
import { SECRET, token } from './signing.mjs';

// Where such templates put what they are given.
const TEMPLATE = `<!DOCTYPE html>
<title><%= uid %> and <%= rid %></title>
<script>
  var me = '<%= uid %>', other = '<%= rid %>', random = '<%= random %>';
  var option = { 'query': 'token=<%= tokenId %>&ksId=' + me };
</script>
`;

function views(files = { 'client.ejs': TEMPLATE }) {
  const folder = freshFolder();
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}

let server;
let demo;
before(async () => {
  server = await startServer({ args: ['--views', views()] });
  demo = await startServer({ args: ['--views', views(), '--demo'], env: { HANDSHAKEN_JWT_SECRET: SECRET } });
});
after(() => Promise.all([server?.stop(), demo?.stop()]));

const page = (query, from = server) => send(from, 'GET', new URLSearchParams(query).toString(), { path: '/kschat' });

test('the page says who it is for, whom it writes to, and bears the token of its address', async () => {
  const tokenId = token({ data: { id: 'ann' } });
  const answer = await page({ uid: 'ann', rid: '7', tokenId });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(answer.headers['cache-control'], 'private, no-store');
  assert.equal(answer.headers['referrer-policy'], 'no-referrer');
  assert.match(answer.body, /var me = 'ann', other = '7', random = '\d+';/);
  assert.ok(answer.body.includes(`'token=${tokenId}&ksId='`));
  const again = await page({ uid: 'ann', rid: '7' });
  assert.ok(again.body.includes("'token=&ksId='"), 'nobody makes one');
  const random = ({ body }) => /random = '(\d+)'/.exec(body)[1];
  assert.notEqual(random(answer), random(again));
});

test('nothing that could end a text of the script is let in', async () => {
  const bad = ["'", "';alert(1)//", '</script><script>alert(1)</script>', '\\', '\n', '\u2028', '"', '<', '&', '${a}', '', 'a b', 'x'.repeat(256)];
  for (const id of bad) {
    for (const query of [{ uid: id, rid: 'ok' }, { uid: 'ok', rid: id }, ...(id ? [{ uid: 'a', rid: 'b', tokenId: id }] : [])]) {
      if (query.tokenId?.length === 256) continue;
      const answer = await page(query);
      assert.equal(answer.status, 400, JSON.stringify(query));
      assert.ok(!answer.headers['content-type'].includes('html'));
      assert.ok(id.length < 2 || !answer.body.includes(id), 'what was sent is not sent back');
    }
  }
  for (const query of ['', 'uid=a', 'rid=a', 'uid=a&uid=b&rid=c', 'uid=a&rid=b&tokenId=c&tokenId=d', 'uid=%ff&rid=a', 'uid=a%00&rid=b']) {
    assert.equal((await send(server, 'GET', query, { path: '/kschat' })).status, 400, query);
  }
  const answer = await page({ uid: 'Zoë', rid: 'auth0|山田@a.example' });
  assert.match(answer.body, /me = 'Zoë', other = 'auth0\|山田@a\.example'/);
});

test('a demonstration makes tokens for whoever is named, unless the address has one, and says so loudly', async (t) => {
  const made = (body) => /'token=([^&]*)&/.exec(body)[1];
  const peer = await join(current, demo.url, { namespace: '/chat', query: { token: made((await page({ uid: '7', rid: 'b' }, demo)).body) } });
  t.after(() => peer.close());
  assert.equal((await peer.request('hello', { name: 'x' })).user, '7');
  assert.equal(made((await page({ uid: '7', rid: 'b', tokenId: 'a.b.c' }, demo)).body), 'a.b.c');
  assert.match(demo.log(), /WARN.*--demo/);
  assert.ok(!server.log().includes('--demo'));
});

test('a demonstration for others than this machine, or without a secret, does not start', () => {
  for (const [args, mistake] of [
    [['--listen', '127.0.0.1:0', '--listen', '0.0.0.0:0', '--jwt-secret', SECRET], /--demo: .*0\.0\.0\.0:0 is not loopback/],
    [['--listen', '[::]:0', '--jwt-secret', SECRET], /\[::\]:0 is not loopback/],
    [['--jwt-secret', SECRET], /0\.0\.0\.0:3000 is not loopback/],
    [['--listen', '[::1]:0'], /--demo: tokens are made with a --jwt-secret/],
  ]) {
    const { status, stderr } = check(['--demo', ...args]);
    assert.equal(status, 64, stderr);
    assert.match(stderr, mistake);
    assert.ok(!stderr.includes(SECRET));
  }
});

test('without a page of its own at /, a line says where the page is', async (t) => {
  const root = await send(server, 'GET', '', { path: '/' });
  assert.match(root.headers['content-type'], /^text\/plain/);
  assert.match(root.body, /^[^\n]*\/kschat[^\n]*\n$/);
  const both = await startServer({ args: ['--views', views({ 'client.ejs': TEMPLATE, 'index.ejs': '<p>index</p>' })] });
  t.after(() => both.stop());
  assert.equal((await send(both, 'GET', '', { path: '/' })).body, '<p>index</p>');
  assert.equal((await send(both, 'GET', 'uid=a&rid=b', { path: '/kschat' })).status, 200);
  const neither = await startServer();
  t.after(() => neither.stop());
  assert.equal((await send(neither, 'GET', 'uid=a&rid=b', { path: '/kschat' })).status, 404);
});

test('a template that asks for more, or a folder without one, is a mistake', () => {
  const folder = path.join(freshFolder(), 'empty');
  mkdirSync(folder);
  for (const [dir, mistake] of [
    [views({ 'client.ejs': '<%= uid %>\n<%= secret %>' }), /client\.ejs.*line 2.*secret/],
    [folder, /index\.ejs/],
  ]) {
    const { status, stderr } = check(['--views', dir]);
    assert.equal(status, 64, stderr);
    assert.match(stderr, mistake);
  }
});
