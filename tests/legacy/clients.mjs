// socket.io-client 0.9 in its releases, over what it can travel on in Node, behind one face: a peer that
// remembers what it was told.

import { createRequire } from 'node:module';

import { DEADLINE_MS, eventually } from '../clients/harness.mjs';

const require = createRequire(import.meta.url);

const RELEASES = ['0.9.11', '0.9.16', '0.9.17'];
const WAYS = ['xhr-polling', 'websocket'];

/** Every release over every way: `{ release, way, name }`. */
export const kinds = RELEASES.flatMap((release) => WAYS.map((way) => ({ release, way, name: `${release} over ${way}` })));

/** A client of one kind, connecting; `messages` are the payloads of every `message` event so far. */
export function open(kind, url, { namespace = '', query, reconnect = false } = {}) {
  const io = require(`socket.io-client-${kind.release}`);
  // The option of the same name is of no effect in Node.
  io.transports = [kind.way];
  const socket = io.connect(url + namespace, {
    'force new connection': true,
    reconnect,
    'reconnection delay': 50,
    'reconnection limit': 200,
    'max reconnection attempts': 100,
    query,
  });
  const peer = {
    kind,
    socket,
    messages: [],
    connections: 0,
    disconnects: [],
    errors: [],
    // What keeps a connection that nothing else comes over: heartbeats, and polls that are answered with nothing.
    signs: 0,
    texts: () => peer.messages.map(({ text }) => text),
    isConnected: () => socket.socket.connected,
    transport: () => socket.socket.transport?.name,
    request: (event, ...args) => request(peer, event, ...args),
    close: () => socket.socket.disconnect(),
  };
  socket.on('message', (payload) => peer.messages.push(payload));
  socket.on('connect', () => (peer.connections += 1));
  socket.on('disconnect', (reason) => peer.disconnects.push(reason));
  socket.on('error', (reason) => peer.errors.push(reason));
  return peer;
}

/** The same, once it is connected the way it wants to travel, in its namespace. */
export async function join(t, kind, url, options) {
  const peer = open(kind, url, options);
  const { socket } = peer;
  t.after(() => peer.close());
  await eventually(`${kind.name} is connected`, () => peer.connections > 0 && peer.transport() === kind.way);
  const { transport } = socket.socket;
  const { onPacket } = transport;
  transport.onPacket = (packet) => {
    if (packet.type === 'heartbeat' || packet.type === 'noop') peer.signs += 1;
    onPacket.call(transport, packet);
  };
  return peer;
}

function request(peer, event, ...args) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${event}: ${peer.kind.name} got no answer`)), DEADLINE_MS);
    peer.socket.emit(event, ...args, (answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}
