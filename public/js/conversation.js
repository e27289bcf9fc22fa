// A conversation with one person, which is shown like a room: its messages, how many of them are unread, how far the
// other has got them and read them. No requests here (direct.js) and nothing on the screen.

import { Room } from './room.js';

/** No room can have a name that begins like this, so that conversations and rooms are never mistaken for each other. */
const MARK = '\u0001';

export const keyOf = (user) => MARK + user;

export const isKey = (name) => name.startsWith(MARK);

export class Conversation extends Room {
  isDirect = true;

  /** The id that the application knows the other by. */
  user;
  /** The name that the other went by last. */
  person = null;
  /** When something was last said, for the order of the list. */
  lastTime = '';
  /** What was last said; empty while nothing is known. */
  excerpt = '';
  /** Up to which message the other has ours, and has read the conversation: ids, or null. */
  delivered = null;
  readByThem = null;

  constructor(key) {
    super(key);
    this.user = key.slice(MARK.length);
  }

  get title() {
    return this.person ?? this.user;
  }

  /** Notes that this was said last, if it was; true where the other goes by another name now. */
  said({ from, name, text, time }) {
    const before = this.title;
    if (from === this.user && name !== null && time >= this.lastTime) this.person = name;
    if (time >= this.lastTime) {
      this.lastTime = time;
      this.excerpt = text;
    }
    return this.title !== before;
  }

  /** Replaces or continues what is here by the newest messages there are, so that no hole is left; gives those that are new. */
  take(messages, more) {
    const newest = this.newest?.id;
    const known = newest === undefined ? -1 : messages.findIndex(({ id }) => id === newest);
    if (known < 0) this.clear();
    const added = messages.slice(known + 1).filter((message) => this.append(message, false));
    if (known < 0) this.beginning = !more;
    return added;
  }

  /** The server counts what is unread; here is found where that begins. */
  countUnread(count) {
    this.unread = count;
    this.firstUnread = null;
    let left = count;
    for (const { seq, mine } of this.messages.toReversed()) {
      if (left === 0) break;
      if (mine) continue;
      this.firstUnread = seq;
      left -= 1;
    }
  }

  /** How far a message of ours has got: `sent`, `delivered` or `read`. */
  markOf({ seq }) {
    const reached = (id) => id !== null && (this.seqOf(id) ?? -Infinity) >= seq;
    if (reached(this.readByThem)) return 'read';
    return reached(this.delivered) ? 'delivered' : 'sent';
  }

  /** Marks only ever move on. Messages that are not loaded any more were passed long ago. */
  mark(what, id) {
    const field = what === 'read' ? 'readByThem' : 'delivered';
    const before = this.seqOf(this[field]) ?? -Infinity;
    if ((this.seqOf(id) ?? -Infinity) >= before) this[field] = id;
  }
}

/** What marks are called. */
export const markWords = { sent: 'Sent', delivered: 'Delivered', read: 'Read' };
