// Public keys that tokens are signed for: from a file and from an address, changing, gone, and wrong.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { current, join } from '../clients/generations.mjs';
import { eventually, freshFolder, startServer } from '../clients/harness.mjs';
import { certificate, pair, startKeys, token } from './signing.mjs';

// Keys are not looked for again sooner than this; a look that a token asks for may take that long.
const RESTED_MS = 5_000;

const ALGORITHMS = ['RS256', 'ES256', 'EdDSA'];

async function start(t, ...args) {
  return startWith(t, {}, ...args);
}

async function startWith(t, env, ...args) {
  const server = await startServer({ args, env });
  t.after(() => server.stop());
  const peer = await join(current, server.url, { namespace: '/chat' });
  t.after(() => peer.close());
  const user = async (given) => {
    const answer = await peer.request('hello', { name: 'x', token: given });
    return answer.ok ? answer.user : answer.error.code;
  };
  return { server, user };
}

function file(...pairs) {
  const name = path.join(freshFolder(), 'keys.json');
  writeFileSync(name, JSON.stringify({ keys: pairs.map(({ jwk }) => jwk) }));
  return name;
}

test('keys in a file check every algorithm, with and without names', async (t) => {
  const pairs = ALGORITHMS.map((alg) => pair(alg, `the ${alg} one`));
  const { user } = await start(t, '--jwt-jwks', file(...pairs));
  for (const each of pairs) {
    assert.equal(await user(each.sign({ sub: each.alg })), each.alg);
    assert.equal(await user(each.sign({ sub: each.alg }, { kid: undefined })), each.alg, 'a token that names no key');
    assert.equal(await user(pair(each.alg, `the ${each.alg} one`).sign({ sub: 'x' })), 'token_invalid', 'another key of that name');
  }
  assert.equal(await user(pairs[0].sign({ sub: 'x' }, { kid: 'the ES256 one' })), 'token_invalid', 'the key of another algorithm');
});

test('what is public is no secret, and a secret is no key', async (t) => {
  const rsa = pair('RS256', 'rsa');
  const secret = 'the secret of the application, long enough';
  const { user } = await start(t, '--jwt-jwks', file(rsa), '--jwt-secret', secret);
  assert.equal(await user(rsa.sign({ sub: 'a' })), 'a');
  assert.equal(await user(token({ sub: 'b' }, { key: secret })), 'b');
  const { publicKey, jwk } = rsa;
  const known = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'pem' }).trim(),
    publicKey.export({ type: 'pkcs1', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'der' }),
    publicKey.export({ type: 'pkcs1', format: 'der' }),
    Buffer.from(jwk.n, 'base64url'),
    jwk.n,
    JSON.stringify(jwk),
    '',
  ];
  for (const key of known) {
    for (const kid of ['rsa', undefined]) assert.equal(await user(token({ sub: 'forged' }, { key, kid })), 'token_invalid');
  }
  // The same where no secret is known at all.
  const only = await start(t, '--jwt-jwks', file(rsa));
  for (const key of known) assert.equal(await only.user(token({ sub: 'forged' }, { key, kid: 'rsa' })), 'token_invalid');
  assert.equal(await only.user(token({ sub: 'b' }, { key: secret })), 'token_invalid');
});

test('keys at an address are fetched, and again when a token names a new one, but not for every such token', async (t) => {
  const [old, next] = [pair('ES256', 'old'), pair('EdDSA', 'next')];
  const keys = await startKeys(t, [old]);
  const { user } = await start(t, '--jwt-jwks', keys.url);
  assert.equal(await user(old.sign({ sub: 'a' })), 'a');
  keys.publish(old, next);
  assert.equal(await user(next.sign({ sub: 'b' })), 'b', 'it waits for the new key');

  keys.publish(next);
  const asked = keys.asked;
  const begun = performance.now();
  const forged = pair('EdDSA', 'nobody knows');
  for (let i = 0; i < 3; i++) assert.equal(await user(forged.sign({ sub: 'x' })), 'token_invalid');
  const most = 1 + Math.ceil((performance.now() - begun) / RESTED_MS);
  assert.ok(keys.asked - asked <= most, `asked ${keys.asked - asked} times, not ${most}`);
  assert.equal(await user(next.sign({ sub: 'c' })), 'c');
  await eventually('what was taken out of the set is not accepted', async () => (await user(old.sign({ sub: 'd' }))) === 'token_invalid');
});

test('an address that cannot be read logs nobody out, and is told once', async (t) => {
  const known = pair('ES256', 'known');
  const keys = await startKeys(t, [known]);
  const { server, user } = await start(t, '--jwt-jwks', `${keys.url}?password=hidden`);
  assert.equal(await user(known.sign({ sub: 'a' })), 'a');
  const failures = () => server.log().match(/could not read the keys for tokens/g)?.length ?? 0;

  const bad = [
    (_, response) => response.writeHead(500).end(),
    (_, response) => response.end('<html>we are back soon</html>'),
    (_, response) => response.end('{"keys":[]}'),
    (_, response) => response.end(`{"keys":[${'1,'.repeat(200_000)}1]}`),
    (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    (_, response) => response.destroy(),
  ];
  for (const [number, answer] of bad.entries()) {
    keys.answer = answer;
    const asked = keys.asked;
    assert.equal(await user(pair('ES256', `new ${number}`).sign({ sub: 'x' })), 'token_invalid');
    await eventually('it was asked', () => keys.asked > asked);
    assert.equal(await user(known.sign({ sub: 'a' })), 'a', `after bad answer ${number}`);
  }
  assert.equal(failures(), 1, server.log());
  await keys.stop();
  assert.equal(await user(pair('ES256', 'newer').sign({ sub: 'x' })), 'token_invalid');
  assert.equal(await user(known.sign({ sub: 'a' })), 'a', 'with nobody there to ask');
  assert.ok(!server.log().includes('hidden'), 'a query stays out of the log');
});

test('over https the certificate must be of somebody whom the machine trusts', async (t) => {
  const known = pair('ES256', 'known');
  const { file: trusted, options } = certificate();
  const keys = await startKeys(t, [known], options);
  const trusting = await startWith(t, { SSL_CERT_FILE: trusted }, '--jwt-jwks', keys.url);
  assert.equal(await trusting.user(known.sign({ sub: 'a' })), 'a');
  const wary = await startWith(t, { SSL_CERT_FILE: certificate().file }, '--jwt-jwks', keys.url);
  assert.equal(await wary.user(known.sign({ sub: 'a' })), 'token_invalid');
  assert.match(wary.server.log(), /could not read the keys for tokens.*[Cc]ertificate/);
});

test('an address that is not there at the start is found later', async (t) => {
  const known = pair('RS256', 'known');
  const keys = await startKeys(t, [known]);
  const there = keys.answer;
  keys.answer = (_, response) => response.writeHead(503).end();
  const { server, user } = await start(t, '--jwt-jwks', keys.url);
  assert.equal(await user(known.sign({ sub: 'a' })), 'token_invalid');
  keys.answer = there;
  await eventually('the keys are found', async () => (await user(known.sign({ sub: 'a' }))) === 'a');
  assert.match(server.log(), /can be read again/);
});
