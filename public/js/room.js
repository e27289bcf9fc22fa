// One room as this page knows it: an unbroken run of its messages up to the newest, who is there,
// who is typing, what is unread. No requests here (chat.js) and nothing on the screen (*-view.js).

const KEPT_MESSAGES = 1_000;
/** Forgetting is done in steps of so many. */
const FORGOTTEN_AT_ONCE = 200;
const TYPING_FORGOTTEN_MS = 5_000;

export class Room {
  #ids = new Map();

  name;
  /** `out`, `joining` or `joined`, on the present connection. */
  state = 'out';
  /** Events that came before the answer to `join`. */
  held = [];

  /** Each has `seq`, counting up by one from older to newer, so that views can name a place. */
  messages = [];
  /** Counts how often everything shown was replaced. */
  generation = 0;
  /** Whether the oldest message here is the oldest there is. */
  beginning = false;

  people = new Map();
  /** Who of them proved to be which user of the application, by the person's id. */
  users = new Map();
  guests = 0;
  total = 0;
  typists = new Map();

  unread = 0;
  firstUnread = null;
  readId = null;
  draft = '';
  /** Of conversations: to be loaded with every new connection, because somebody opened it or wrote there. */
  wanted = false;

  constructor(name) {
    this.name = name;
  }

  get oldest() {
    return this.messages[0];
  }

  get newest() {
    return this.messages.at(-1);
  }

  /** What people call it. */
  get title() {
    return this.name;
  }

  has(id) {
    return this.#ids.has(id);
  }

  /** The place of a message; undefined for one that is not here. */
  seqOf(id) {
    return this.#ids.get(id);
  }

  at(seq) {
    return this.messages.length ? this.messages[seq - this.oldest.seq] : undefined;
  }

  /** Adds a message at the end; false if it was here already. */
  append(message, countsAsUnread) {
    if (this.has(message.id)) return false;
    const seq = this.messages.length ? this.newest.seq + 1 : 0;
    this.messages.push({ ...message, seq });
    this.#ids.set(message.id, seq);
    if (message.id === this.readId) {
      this.unread = 0;
      this.firstUnread = null;
    } else if (countsAsUnread) {
      this.firstUnread ??= seq;
      this.unread += 1;
    }
    return true;
  }

  /** Adds what `history` answered, oldest first. */
  prepend(messages, more) {
    const older = messages.filter(({ id }) => !this.has(id));
    const first = (this.oldest?.seq ?? 0) - older.length;
    const numbered = older.map((message, index) => ({ ...message, seq: first + index }));
    for (const { id, seq } of numbered) this.#ids.set(id, seq);
    this.messages = [...numbered, ...this.messages];
    this.beginning = !more;
  }

  /** Forgets the oldest messages beyond what is worth keeping; `history` brings them back. */
  trim() {
    const excess = this.messages.length - KEPT_MESSAGES;
    if (excess < FORGOTTEN_AT_ONCE) return;
    for (const { id } of this.messages.splice(0, excess)) this.#ids.delete(id);
    this.beginning = false;
  }

  clear() {
    this.messages = [];
    this.#ids.clear();
    this.beginning = false;
    this.unread = 0;
    this.firstUnread = null;
    this.generation += 1;
  }

  markRead() {
    this.unread = 0;
    this.firstUnread = null;
    if (this.newest) this.readId = this.newest.id;
  }

  peopleAre({ people, guests, total }) {
    this.people = new Map(people.map(({ id, name }) => [id, name]));
    this.users = new Map(people.filter(({ user }) => user).map(({ id, user }) => [id, user]));
    this.guests = guests;
    this.total = total;
  }

  peopleChanged({ joined, left, guests, total }) {
    for (const { id, name, user } of joined) {
      this.people.set(id, name);
      if (user) this.users.set(id, user);
      else this.users.delete(id);
    }
    for (const id of left) {
      this.people.delete(id);
      this.users.delete(id);
      this.#forgetTypist(id);
    }
    this.guests = guests;
    this.total = total;
  }

  typing({ id, name, on }, changed) {
    this.#forgetTypist(id);
    if (!on) return;
    const timer = setTimeout(() => {
      this.typists.delete(id);
      changed();
    }, TYPING_FORGOTTEN_MS);
    this.typists.set(id, { name, timer });
  }

  nobodyTypes() {
    for (const id of [...this.typists.keys()]) this.#forgetTypist(id);
  }

  #forgetTypist(id) {
    clearTimeout(this.typists.get(id)?.timer);
    this.typists.delete(id);
  }
}
