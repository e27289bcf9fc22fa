// A kschat client as its page is one: WebSocket only, token in the query, and every event of the server answered by
// calling what must be there to be called.

import assert from 'node:assert/strict';

import { arrived, kinds, open } from '../clients/generations.mjs';
import { eventually } from '../clients/harness.mjs';
import { SECRET as key, token } from '../tokens/signing.mjs';

const EVENTS = ['RESPSEND', 'RESPRECEIVER', 'RESPLOGOUT'];

/** The generations of the page's library that are tried. */
export const generations = ['1.4.5 over websocket', '2.5.0 over websocket', '4.8 over websocket'].map((name) =>
  kinds.find((kind) => kind.name === name),
);

export const startOptions = { env: { HANDSHAKEN_JWT_SECRET: key } };

/** Connects with this query, whatever comes of it. */
export function knock(t, url, query, kind = generations[0], options = {}) {
  const peer = open(kind, url, { namespace: '/kschat', query, ...options });
  t.after(() => peer.close());
  return peer;
}

/** What the page says of a message that it shows. */
export const readMark = ({ uId, pId, msgTime }) => ({ uId: pId, pId: uId, msgTime, rStatus: 2, uTime: Math.floor(Date.now() / 1000), appType: 104 });

/**
 * A user who is connected. It acknowledges as often as `answers` says, says of each message that it was read where it
 * `marks` them, as the page does, and `listensFrom` is awaited before it has handlers. `told` is every event so far as `[name, payload]`,
 * `received` the messages of RESPRECEIVER, `sent` what RESPSEND said.
 */
export async function visit(t, url, id, { kind = generations[0], answers = Infinity, marks = false, listensFrom } = {}) {
  const told = [];
  const uncallable = [];
  const received = () => told.filter(([event]) => event === 'RESPRECEIVER').flatMap(([, { MSG }]) => MSG ?? []);
  const visitor = {
    told,
    received,
    texts: () => received().map(({ msg }) => msg),
    sent: () => told.filter(([event]) => event === 'RESPSEND').map(([, payload]) => payload),
    receipts: [],
    prepare(socket) {
      for (const event of EVENTS) {
        socket.on(event, (payload, callback) => {
          told.push([event, payload]);
          if (typeof callback !== 'function') uncallable.push(event);
          else if (answers-- > 0) callback({ RESPONSE: `${event} Success!`, uId: id });
          const [message] = payload.MSG ?? [];
          if (marks && event === 'RESPRECEIVER' && message.rStatus === 1) socket.emit('MsgStatus', readMark(message));
        });
      }
      socket.on('MSGREAD', (payload) => visitor.receipts.push(payload));
    },
  };
  const query = `token=${token({ data: { id } })}&ksId=${id}`;
  const peer = knock(t, url, query, kind, { prepare: listensFrom ? undefined : visitor.prepare });
  await arrived(peer);
  if (listensFrom) {
    await listensFrom(peer.socket);
    visitor.prepare(peer.socket);
  }
  t.after(() => assert.deepEqual(uncallable, [], 'the page would throw'));
  return Object.assign(visitor, {
    close: peer.close,
    socket: peer.socket,
    request: peer.request,
    /** What the page sends when its button is pressed. */
    say: (to, msg, more = {}) =>
      peer.request('Send', { uId: id, pId: to, msg, rno: 12232, time: Math.floor(Date.now() / 1000), ...more }),
    /** The same, without waiting for the answer that does not come. */
    tell: (event, payload) => peer.socket.emit(event, payload),
    heard: (count) => eventually(`${id} hears ${count}`, () => received().length >= count),
    answered: (count) => eventually(`${id} is told of ${count}`, () => visitor.sent().length >= count),
  });
}
