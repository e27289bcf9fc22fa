// Direct messages: the conversations of whoever is signed in, loading them, what comes in for them, and telling
// how far they were read. They are rooms of the chat to everybody else; the server knows them by other events.

import { Emitter } from './emitter.js';
import { keyOf } from './conversation.js';

const PAGE = 60;
const AGAIN_MS = 2_000;
/** Several marks at once ask for the list once. */
const REFRESH_PAUSE_MS = 300;

/** Emits `change` (the list, or who is signed in) and `marks` (conversation). */
export class Directs extends Emitter {
  #connection;
  #chat;
  #user = null;
  #refreshing = null;

  constructor(connection, chat) {
    super();
    this.#connection = connection;
    this.#chat = chat;
    connection.on('named', () => this.#signedIn());
    connection.on('ready', () => this.#user !== null && this.#load());
    connection.on('direct', (message) => this.#receive(message));
    connection.on('delivered', ({ with: user, id }) => this.#mark(user, 'delivered', id));
    connection.on('read', (mark) => this.#read(mark));
    chat.on('rooms', () => this.emit('change'));
  }

  /** Whether there is anybody whose messages these could be. */
  get areHere() {
    return this.#user !== null;
  }

  /** The most recently used first. */
  get conversations() {
    const all = [...this.#chat.rooms.values()].filter(({ isDirect }) => isDirect);
    return all.sort((one, other) => (one.lastTime < other.lastTime ? 1 : one.lastTime > other.lastTime ? -1 : 0));
  }

  /** Loads the newest messages of a conversation, unless they are here. */
  async join(conversation) {
    conversation.wanted = true;
    if (conversation.state !== 'out' || !this.#connection.ready || !this.areHere) return;
    conversation.state = 'joining';
    let answer;
    try {
      answer = await this.#connection.request('conversation', { with: conversation.user, limit: PAGE });
    } catch (error) {
      this.#notLoaded(conversation, error);
      return;
    }
    if (this.#chat.rooms.get(conversation.name) !== conversation) return;
    const { unread } = conversation;
    const added = conversation.take(answer.messages.map((message) => this.#shown(message)), answer.more);
    conversation.countUnread(unread);
    if (answer.messages.length) conversation.said(answer.messages.at(-1));
    conversation.person = answer.messages.findLast(({ from, name }) => from === conversation.user && name !== null)?.name ?? conversation.person;
    conversation.delivered = answer.delivered;
    conversation.readByThem = answer.read;
    conversation.state = 'joined';
    for (const message of added) this.#chat.emit('arrived', conversation, message);
    for (const message of conversation.held.splice(0)) this.#append(conversation, message);
    this.#chat.shown(conversation);
    this.emit('marks', conversation);
  }

  /** Loads a page of older messages; throws a RequestError. */
  async loadOlder(conversation) {
    const { generation, oldest } = conversation;
    const asked = { with: conversation.user, before: oldest.id, limit: PAGE };
    const { messages, more } = await this.#connection.request('conversation', asked);
    const shown = messages.map((message) => this.#shown(message));
    if (conversation.generation === generation && conversation.oldest === oldest) conversation.prepend(shown, more);
  }

  /** The conversation with somebody who goes by this name. */
  with(user, name) {
    const conversation = this.#find(user);
    conversation.person ??= name;
    return conversation;
  }

  markRead(conversation) {
    if (conversation.unread === 0 || conversation.state !== 'joined') return;
    const { newest } = conversation;
    conversation.markRead();
    this.#chat.emit('rooms');
    // What is not told now is unread again with the next connection, and is told then.
    this.#connection.request('read', { with: conversation.user, id: newest.id }).catch(() => {});
  }

  #notLoaded(conversation, error) {
    conversation.state = 'out';
    conversation.held = [];
    if (this.#chat.rooms.get(conversation.name) !== conversation) return;
    if (error.retry) setTimeout(() => this.join(conversation), AGAIN_MS);
    else this.#chat.drop(conversation, ['You cannot write to ', { name: conversation.title }, `: ${error.message}`]);
  }

  #signedIn() {
    const { user } = this.#connection;
    if (user === this.#user) return;
    const before = this.#user;
    this.#user = user;
    // What was read belongs to whoever was signed in.
    if (before !== null || user === null) for (const conversation of this.conversations) this.#chat.drop(conversation);
    this.emit('change');
  }

  async #load() {
    let conversations;
    try {
      ({ conversations } = await this.#connection.request('conversations', {}));
    } catch (error) {
      if (error.retry && this.#connection.ready) this.#refresh(AGAIN_MS);
      return;
    }
    for (const { with: user, unread, last } of conversations) {
      const conversation = this.#find(user);
      if (last) conversation.said(last);
      // Those that are in sight are being read: what they count is newer.
      if (conversation !== this.#chat.active || conversation.state !== 'joined') conversation.countUnread(unread);
    }
    for (const conversation of this.conversations) if (conversation.wanted) this.join(conversation);
    this.#chat.emit('rooms');
  }

  #refresh(pause = REFRESH_PAUSE_MS) {
    this.#refreshing ??= setTimeout(() => {
      this.#refreshing = null;
      if (this.#connection.ready && this.areHere) this.#load();
    }, pause);
  }

  #receive(message) {
    if (!this.areHere) return;
    const conversation = this.#find(message.from === this.#user ? message.to : message.from);
    if (conversation.state === 'joining') {
      conversation.held.push(message);
    } else if (conversation.state === 'joined') {
      this.#append(conversation, message);
    } else {
      conversation.said(message);
      // It may have come before; who counts is the server.
      this.#refresh();
    }
    this.#chat.emit('rooms');
  }

  #append(conversation, message) {
    const shown = this.#shown(message);
    if (conversation.said(message)) this.#chat.emit('people', conversation);
    if (!conversation.append(shown, !shown.mine)) return;
    if (conversation !== this.#chat.active) conversation.trim();
    this.#chat.arrived(conversation, shown);
  }

  #read({ with: user, by, id }) {
    if (by === this.#user) this.#refresh();
    else this.#mark(user, 'read', id);
  }

  #mark(user, what, id) {
    const conversation = this.#chat.rooms.get(keyOf(user));
    if (!conversation) return;
    conversation.mark(what, id);
    this.emit('marks', conversation);
  }

  #find(user) {
    return this.#chat.rooms.get(keyOf(user)) ?? this.#chat.add(keyOf(user));
  }

  /** A message as those of rooms look. */
  #shown(message) {
    return { ...message, mine: message.from === this.#user, author: message.name ?? message.from };
  }
}

/** What the address or the box says: with an identity, `@ann` is the conversation with ann. */
export function placeNamed(text, isSignedIn) {
  return isSignedIn && text.startsWith('@') && text.length > 1 ? keyOf(text.slice(1)) : text;
}

export const addressOf = ({ name, isDirect, user }) => encodeURIComponent(isDirect ? `@${user}` : name);
