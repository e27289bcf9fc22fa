// Tokens signed with Node's own cryptography, so that what the server accepts is checked against another maker;
// and a place where public keys can be had.

import { createHmac, generateKeyPairSync, sign as signWith } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';

import { freshFolder } from '../clients/harness.mjs';

export const SECRET = 'what the application and the chat both know';

const encode = (part) => Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');

const SIGNERS = {
  HS256: (text, key) => createHmac('sha256', key).update(text).digest(),
  RS256: (text, key) => signWith('sha256', text, key),
  ES256: (text, key) => signWith('sha256', text, { key, dsaEncoding: 'ieee-p1363' }),
  EdDSA: (text, key) => signWith(null, text, key),
  none: () => Buffer.alloc(0),
};

/** A token with these claims; an hour to live unless they say otherwise. */
export function token(claims, { alg = 'HS256', key = SECRET, kid } = {}) {
  const head = { alg, typ: 'JWT', ...(kid && { kid }) };
  const text = `${encode(head)}.${encode({ exp: inSeconds(3600), ...claims })}`;
  return `${text}.${SIGNERS[alg](Buffer.from(text), key).toString('base64url')}`;
}

export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

/** A new pair of keys for one algorithm: `sign` makes tokens, `jwk` is what the world may know. */
export function pair(alg, kid) {
  const { privateKey, publicKey } = {
    RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: () => generateKeyPairSync('ed25519'),
  }[alg]();
  return {
    alg,
    publicKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg },
    sign: (claims, head = {}) => token(claims, { alg, key: privateKey, kid, ...head }),
  };
}

/** A certificate for 127.0.0.1 that nobody else knows: `{ file, options }`. */
export function certificate() {
  const folder = freshFolder();
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name));
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE'];
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  } catch (error) {
    throw new Error(`no certificate could be made: install the package openssl (${error.message})`);
  }
  return { file: cert, options: { key: readFileSync(key), cert: readFileSync(cert) } };
}

/**
 * An endpoint that answers with a key set, over TLS where `tls` is given; `asked` counts how often it was, `answer` may
 * be replaced.
 */
export async function startKeys(t, pairs, tls) {
  const endpoint = { asked: 0, answer: undefined };
  endpoint.publish = (...published) => {
    const set = JSON.stringify({ keys: published.map(({ jwk }) => jwk) });
    endpoint.answer = (_, response) => response.setHeader('content-type', 'application/json').end(set);
  };
  endpoint.publish(...pairs);
  const answer = (request, response) => {
    endpoint.asked += 1;
    endpoint.answer(request, response);
  };
  const server = tls ? https.createServer(tls, answer) : http.createServer(answer);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  endpoint.url = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}/keys`;
  endpoint.stop = () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections()));
  t.after(() => endpoint.stop());
  return endpoint;
}
