// What was written and is not acknowledged: kept through outages and reloads of this tab, sent in
// order, as fast as the server reads (pace.js), and again with the same key until it answers; in the name of whoever
// wrote it, or not at all. Shown by waiting-view.js.

import { Emitter } from './emitter.js';
import { Pace } from './pace.js';
import { storage } from './storage.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** Posts that may be on their way unanswered: a distant server is not waited for with each. */
const UNDER_WAY = 16;

/**
 * Emits `change` (room name). A post is
 * `waiting` (for the connection, or for its answer),
 * `kept` (the server has it; its `message` is on the way) or
 * `failed` (`reason` says why; sending it again as it is does not help).
 */
export class Outbox extends Emitter {
  #connection;
  #chat;
  #posts = storage.outbox.map((post) => ({ ...post, state: 'waiting', underWay: false, reason: null, shownAs: null }));
  #pace = new Pace();
  #underWay = 0;
  #due = null;
  /** Rooms for which the server could not keep something just now. */
  #resting = new Set();
  /** How long they rest the next time, ms. */
  #pauses = new Map();
  #isStoring = false;

  constructor(connection, chat) {
    super();
    this.#connection = connection;
    this.#chat = chat;
    chat.on('joined', () => this.#send());
    chat.on('arrived', (room, message) => this.#arrived(room, message));
    chat.on('left', (room) => this.#remove((post) => post.room === room && this.#isOurs(post)));
    connection.on('named', () => this.#signedIn());
    connection.on('ready', () => (this.#pace.rate = connection.rate));
  }

  /** Whether there are posts that go out only while whoever wrote them is signed in. */
  get needsToken() {
    return this.#posts.some(({ user, state }) => typeof user === 'string' && state !== 'kept');
  }

  /** The posts of a room that are to be shown as not sent yet. */
  of(room) {
    return this.#posts.filter((post) => post.room === room && this.#isOurs(post) && post.shownAs === null);
  }

  /** How many posts of a room would be lost if it were left now. */
  unkept(room) {
    return this.#posts.filter((post) => post.room === room && this.#isOurs(post) && post.state !== 'kept').length;
  }

  add(room, text) {
    const { user } = this.#connection;
    this.#posts.push({ key: uuid(), user, room, text, time: new Date().toISOString(), state: 'waiting', underWay: false, reason: null, shownAs: null });
    this.#changed(room);
    this.#send();
  }

  sendAgain(key) {
    const post = this.#posts.find((candidate) => candidate.key === key);
    if (post?.state !== 'failed') return;
    post.state = 'waiting';
    post.reason = null;
    this.#changed(post.room);
    this.#send();
  }

  drop(key) {
    this.#remove((post) => post.key === key);
  }

  #isOurs({ user }) {
    return user === this.#connection.user;
  }

  /** Whose posts are sent from now on. */
  #signedIn() {
    for (const post of this.#posts) {
      if (post.user === undefined) post.user = this.#connection.user;
      if (this.#isOurs(post)) (this.#chat.rooms.get(post.room) ?? this.#chat.add(post.room)).wanted = true;
    }
    for (const room of new Set(this.#posts.map((post) => post.room))) this.#changed(room);
  }

  /** Sends what may go out now, and sees to it that the rest follows. */
  #send() {
    while (this.#underWay < Math.min(UNDER_WAY, this.#pace.twoSeconds)) {
      const post = this.#next();
      if (!post) return;
      const wait = this.#pace.wait(performance.now());
      if (wait > 0) {
        this.#due ??= setTimeout(() => {
          this.#due = null;
          this.#send();
        }, wait);
        return;
      }
      this.#pace.spend();
      this.#post(post);
    }
  }

  #next() {
    const maySend = ({ room }) => this.#chat.rooms.get(room)?.state === 'joined' && !this.#resting.has(room);
    return this.#posts.find((post) => post.state === 'waiting' && !post.underWay && this.#isOurs(post) && maySend(post));
  }

  async #post(post) {
    post.sent = true;
    post.underWay = true;
    this.#underWay += 1;
    try {
      this.#acknowledged(post, await this.#connection.request(...this.#asked(post)));
      this.#pauses.delete(post.room);
    } catch (error) {
      post.shownAs = null;
      post.reason = error.message;
      if (!error.retry) post.state = 'failed';
      else if (this.#connection.ready) this.#rest(post.room);
      this.#changed(post.room);
    }
    post.underWay = false;
    this.#underWay -= 1;
    this.#send();
  }

  /** Sends nothing to a room for a while. What is under way may be kept meanwhile, before the post that was not. */
  #rest(room) {
    if (this.#resting.has(room)) return;
    const pause = this.#pauses.get(room) ?? FIRST_PAUSE_MS;
    this.#pauses.set(room, Math.min(pause * 2, LONGEST_PAUSE_MS));
    this.#resting.add(room);
    setTimeout(() => {
      this.#resting.delete(room);
      this.#send();
    }, pause);
  }

  /** What the server is asked to keep it with. */
  #asked({ room, text, key }) {
    const { isDirect, user } = this.#chat.rooms.get(room);
    return isDirect ? ['direct', { to: user, text, key }] : ['post', { room, text, key }];
  }

  #acknowledged(post, { id, time }) {
    Object.assign(post, { state: 'kept', reason: null, shownAs: null, id, keptAt: time });
    const room = this.#chat.rooms.get(post.room);
    if (room?.has(id) || room?.newest?.time > time) this.#remove((other) => other === post);
    else this.#changed(post.room);
  }

  #arrived(room, message) {
    // Kept before what has just arrived, so its own message came long ago, before what this page shows.
    const passed = (post) => post.state === 'kept' && (post.id === message.id || post.keptAt < message.time);
    this.#remove((post) => post.room === room.name && passed(post));
    if (!(message.mine ?? message.author === this.#connection.name)) return;
    // The message may overtake the answer that would tell its id: do not show both meanwhile.
    const mine = this.#posts.find((post) => post.room === room.name && this.#isOurs(post) && post.state === 'waiting'
      && post.sent && post.shownAs === null && post.text === message.text);
    if (!mine) return;
    mine.shownAs = message.id;
    this.#changed(room.name);
  }

  #remove(unwanted) {
    const rooms = new Set(this.#posts.filter(unwanted).map((post) => post.room));
    this.#posts = this.#posts.filter((post) => !unwanted(post));
    for (const room of rooms) this.#changed(room);
  }

  #changed(room) {
    this.#store();
    this.emit('change', room);
  }

  /** Once for all that changes at a time. */
  #store() {
    if (this.#isStoring) return;
    this.#isStoring = true;
    queueMicrotask(() => {
      this.#isStoring = false;
      storage.outbox = this.#posts
        .filter((post) => post.state !== 'kept')
        .map(({ key, user, room, text, time }) => ({ key, user, room, text, time }));
    });
  }
}

/** A version 4 UUID; `crypto.randomUUID` is missing on pages that came over plain HTTP. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
