// Who is in the active room, and who is typing there.

import { button, byId, el, face, icon, named, perFrame } from './dom.js';

const MOST_SHOWN = 200;
const MOST_TYPISTS_NAMED = 3;

// So that Ann 2 stands before Ann 10.
const alphabet = new Intl.Collator(undefined, { numeric: true });

export class PeopleView {
  #chat;
  #connection;
  #open;
  #summary = byId('room-summary');
  #list = byId('people');
  #others = byId('people-others');
  #typing = byId('typing');

  /** `open` (key) shows a conversation with somebody. */
  constructor(chat, connection, open) {
    this.#open = open;
    this.#chat = chat;
    this.#connection = connection;
    const people = perFrame(() => this.#renderPeople());
    const typing = perFrame(() => this.#renderTyping());
    chat.on('people', (room) => room === chat.active && people());
    chat.on('typing', (room) => room === chat.active && typing());
    chat.on('active', () => {
      this.#renderPeople();
      this.#renderTyping();
    });
    connection.on('phase', people);
  }

  #renderPeople() {
    const room = this.#chat.active;
    const known = room && this.#connection.ready && room.total > 0;
    this.#summary.textContent = room?.isDirect ? 'Between the two of you' : known ? `${room.total} ${room.total === 1 ? 'person' : 'people'} here` : '';
    const people = this.#peopleOf(room).sort(([, one], [, other]) => alphabet.compare(one, other));
    const shown = people.slice(0, MOST_SHOWN);
    this.#list.replaceChildren(...shown.map(([id, name]) => this.#person(id, name)));
    this.#others.textContent = room ? this.#othersInWords(room, shown.length) : '';
  }

  #peopleOf(room) {
    if (!room?.isDirect) return [...(room?.people ?? [])];
    const us = [[room.name, room.title]];
    if (room.user !== this.#connection.user) us.push([this.#connection.id, this.#connection.name]);
    return us;
  }

  #person(id, name) {
    const item = el('li', '', face(name), named(name, 'person'));
    const { active } = this.#chat;
    const user = active.isDirect && id === active.name ? active.user : active.users.get(id);
    // Names are anybody's; who is signed in is who they say.
    if (user !== undefined) {
      const mark = el('span', 'user', `@${user}`);
      // Where it is cut off.
      mark.title = mark.textContent;
      item.append(mark);
    }
    // Where others have proved who they are, nobody takes a guest for one of them.
    const isGuest = user === undefined && !active.isDirect && (this.#connection.user || active.users.size > 0);
    if (isGuest) item.append(el('span', 'aside', 'guest'));
    if (id === this.#connection.id) item.append(el('span', 'aside', 'you'));
    else if (user !== undefined && !active.isDirect && this.#connection.user !== null && user !== this.#connection.user) item.append(this.#write(name, user));
    return item;
  }

  #write(name, user) {
    const write = button('icon-button write', '', () => this.#open(this.#chat.directs.with(user, name).name));
    write.append(icon('write'));
    write.setAttribute('aria-label', `Write to ${name} (${user})`);
    write.title = `Write to ${name}`;
    return write;
  }

  #othersInWords({ guests, total }, shown) {
    const more = total - guests - shown;
    const parts = [];
    if (more > 0) parts.push(`${more} more`);
    if (guests > 0) parts.push(`${guests} guest${guests === 1 ? '' : 's'}`);
    if (parts.length === 0) return '';
    return `${shown ? 'and ' : ''}${parts.join(' and ')}`;
  }

  #renderTyping() {
    const names = [...(this.#chat.active?.typists.values() ?? [])].map(({ name }) => name);
    if (names.length === 0) {
      this.#typing.replaceChildren();
      return;
    }
    const dots = el('span', 'dots', el('i'), el('i'), el('i'));
    dots.setAttribute('aria-hidden', 'true');
    this.#typing.replaceChildren(dots, this.#typingWords(names));
  }

  #typingWords(names) {
    if (names.length > MOST_TYPISTS_NAMED) return el('span', '', `${names.length} people are typing…`);
    const words = el('span');
    names.forEach((name, index) => {
      if (index) words.append(index === names.length - 1 ? ' and ' : ', ');
      words.append(named(name));
    });
    words.append(names.length === 1 ? ' is typing…' : ' are typing…');
    return words;
  }
}
