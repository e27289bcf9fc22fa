// The front ends that may meet in one lobby, each by a real client of its days, behind one face: it says a text, and
// remembers what it was told, in its own words. What differs between them stands here and nowhere else.

import { join as joinSocketIo, kinds as socketIoKinds } from '../clients/generations.mjs';
import { join as joinBare, kinds as bareKinds } from '../infinite/clients.mjs';
import { kinds as oldKinds } from '../legacy/clients.mjs';
import { newcomer, openPage, visitor } from '../legacy/logins.mjs';

const socketIo = (name) => socketIoKinds.find((kind) => kind.name === name);
const old = (way) => oldKinds.find((kind) => kind.release === '0.9.17' && kind.way === way);
const [bare] = bareKinds;

/**
 * Who speaks in which front end, and by what it travels. `open` answers `say(text)`, and `told()`: everything that anybody said, oldest
 * first. `words(message)` is what it must be told of a message of the native dialect.
 */
export const fronts = [
  { name: 'talk', author: null, open: openTalk, words: talkWords },
  { name: 'AMQPChat', author: 'Ann <b>', open: openAmqpChat, words: amqpChatWords },
  { name: 'rabbitpubsub', author: 'Rob & <i>', open: openRabbit, words: rabbitWords },
  { name: 'Infinite', author: 'Ida "<u>"', open: openInfinite, words: infiniteWords },
  { name: 'native', author: "Nat '<s>'", open: (t, server, author) => openNative(t, server, author, '4.8 over upgrade'), words: asItIs },
  { name: 'native, the second', author: 'Noa ✓😀', open: (t, server, author) => openNative(t, server, author, '4.8 over polling'), words: asItIs },
];

/** Every front end, connected to the server that `at` has for its name. */
export function openAll(t, at) {
  return Promise.all(fronts.map(async (front) => ({ ...front, ...(await front.open(t, at(front.name), front.author)) })));
}

async function openTalk(t, server) {
  const peer = await joinSocketIo(socketIo('1.7.4 over upgrade'), server.url, { reconnect: true });
  t.after(() => peer.close());
  return { say: (text) => peer.socket.emit('message', text), told: () => peer.messages };
}

function talkWords({ id, author, text, time, replica }) {
  // Its page shows all of it as HTML.
  const escaped = (plain) => plain.replaceAll('<', '&lt;');
  return { text: escaped(text), date: time, ip: replica, id, ...(author && { author: escaped(author) }) };
}

async function openAmqpChat(t, server, author) {
  const page = await openPage(t, old('xhr-polling'), server, await newcomer(server, author));
  return { say: (text) => page.socket.send(text), told: () => page.told.filter(({ action }) => action === 'message') };
}

function amqpChatWords({ id, author, text }) {
  const name = (author ?? 'Guest').replace(/[<>&"']/g, (char) => ENTITIES[char]);
  const marked = author ? text.split(author).map(amqpChatText).join(`<b class="you">${name}</b>`) : amqpChatText(text);
  return { action: 'message', name, message: marked, id };
}

const ENTITIES = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;', "'": '&#39;' };

/** Only what could begin markup is replaced: more would make smileys of the page's where none were typed. */
const amqpChatText = (text) => text.replace(/&(?=[a-z0-9#])/gi, '&amp;').replaceAll('<', '&lt;');

async function openRabbit(t, server, author) {
  const page = await openPage(t, old('websocket'), server, await visitor(server, author), { joining: 'join' });
  return {
    say: (text) => page.socket.emit('chat', JSON.stringify({ action: 'message', msg: text })),
    told: () => page.told.filter(({ action }) => action === 'message'),
  };
}

function rabbitWords({ id, author, text }) {
  return { action: 'message', user: author ?? 'Guest', msg: text, id };
}

async function openInfinite(t, server, author) {
  const peer = await joinBare(t, bare, server.url);
  return { say: (text) => peer.say(author, text), told: () => peer.lines.filter(({ username }) => username !== 'System') };
}

/** Where the server's time zone is UTC. */
function infiniteWords({ author, text, time }) {
  const on = (options) => new Date(time).toLocaleString('en-US', { timeZone: 'UTC', ...options }).replaceAll('\u202f', ' ');
  const date = `${on({ month: 'long', day: 'numeric', year: 'numeric' })} ${on({ hour: 'numeric', minute: '2-digit', hour12: true })}`;
  return { username: author ?? '???', msg: text, date };
}

async function openNative(t, server, name, way) {
  const peer = await joinSocketIo(socketIo(way), server.url, { namespace: '/chat', reconnect: true });
  t.after(() => peer.close());
  for (const [event, payload] of [['hello', { name }], ['join', { room: 'lobby' }]]) {
    const answer = await peer.request(event, payload);
    if (!answer.ok) throw new Error(`${event}: ${JSON.stringify(answer)}`);
  }
  return { say: (text) => void peer.socket.emit('post', { room: 'lobby', text }), told: () => peer.messages };
}

function asItIs(message) {
  return message;
}
