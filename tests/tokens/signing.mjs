// Tokens signed with Node's own cryptography, so that what the server accepts is checked against another maker;
// and a place where public keys can be had.

import { createHmac, generateKeyPairSync, sign as signWith } from 'node:crypto';
import http from 'node:http';

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

/** An endpoint that answers with a key set; `asked` counts how often it was, `answer` may be replaced. */
export async function startKeys(t, pairs) {
  const endpoint = { asked: 0, answer: undefined };
  endpoint.publish = (...published) => {
    const set = JSON.stringify({ keys: published.map(({ jwk }) => jwk) });
    endpoint.answer = (_, response) => response.setHeader('content-type', 'application/json').end(set);
  };
  endpoint.publish(...pairs);
  const server = http.createServer((request, response) => {
    endpoint.asked += 1;
    endpoint.answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  endpoint.url = `http://127.0.0.1:${server.address().port}/keys`;
  endpoint.stop = () => new Promise((resolve) => (server.close(resolve), server.closeAllConnections()));
  t.after(() => endpoint.stop());
  return endpoint;
}
