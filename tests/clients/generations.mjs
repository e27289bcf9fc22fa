// Every generation of socket.io-client and every way it can travel, behind one face: a peer that remembers
// what it was told. What differs between the generations stands here and nowhere else.

import { createRequire } from 'node:module';

import { DEADLINE_MS, eventually } from './harness.mjs';

const require = createRequire(import.meta.url);

const GENERATIONS = ['1.3.7', '1.4.5', '1.7.4', '2.1.1', '2.5.0', '3.1.3', '4.8'];
const WAYS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] };

/** Every generation over every way: `{ generation, way, name }`. */
export const kinds = GENERATIONS.flatMap((generation) =>
  Object.keys(WAYS).map((way) => ({ generation, way, name: `${generation} over ${way}` })),
);

/** The kind that stands for a well-behaved current client. */
export const current = kinds.find(({ name }) => name === '4.8 over websocket');

/**
 * A client of one kind, connecting. Its `messages` are the payloads of every `message` event so far.
 * `prepare` sees the socket before anything can have arrived; what else is given are options of the library.
 */
export function open(kind, url, { namespace = '/', query, prepare, reconnect = false, ...more } = {}) {
  const io = require(`socket.io-client-${kind.generation}`);
  const socket = io(url + namespace, {
    transports: WAYS[kind.way],
    forceNew: true,
    'force new connection': true,
    query,
    reconnection: reconnect,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
    randomizationFactor: 0,
    timeout: reconnect ? 10_000 : DEADLINE_MS,
    ...more,
  });
  const peer = {
    kind,
    socket,
    messages: [],
    refusal: undefined,
    texts: () => peer.messages.map(({ text }) => text),
    request: (event, payload) => request(socket, event, payload),
    close: () => (socket.io.engine?.close(), socket.close()),
  };
  socket.on('message', (payload) => peer.messages.push(payload));
  // 1.x and 2.x tell a refusal as `error` with a text, 3.x and later as `connect_error` with an Error.
  for (const event of ['error', 'connect_error']) {
    socket.on(event, (reason) => (peer.refusal = typeof reason === 'string' ? reason : reason?.message));
  }
  prepare?.(socket);
  return peer;
}

/** The same, once it is connected and, where it can upgrade, has done so. */
export async function join(kind, url, options) {
  const peer = open(kind, url, options);
  await arrived(peer);
  return peer;
}

/** Waits until a peer is connected the way it wants to travel. */
export async function arrived({ kind, socket }) {
  const last = WAYS[kind.way].at(-1);
  await eventually(`${kind.name} is connected`, () => socket.connected && socket.io.engine.transport.name === last);
}

/** What the server acknowledges an event with. */
export function request(socket, event, payload) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${event}: no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS);
    socket.emit(event, payload, (answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}

/** Opens one peer of every kind and closes them all when the test is over. */
export async function joinAll(t, url, options) {
  const peers = kinds.map((kind) => open(kind, url, options));
  t.after(() => peers.forEach((peer) => peer.close()));
  await Promise.all(peers.map((peer) => arrived(peer)));
  return peers;
}
