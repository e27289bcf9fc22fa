// The list of rooms: those that are joined with their unread counts, the others on the server, and the
// box that finds or creates one.

import { placeNamed } from './direct.js';
import { byId, el, named, perFrame } from './dom.js';
import { agoInWords } from './when.js';

const REFRESH_MS = 20_000;
/** Joining fifty rooms at once asks for the list once. */
const REFRESH_PAUSE_MS = 300;
const MOST_COUNTED = 99;

export class RoomsPanel {
  #chat;
  #connection;
  #open;
  #others = [];
  #refreshing = null;
  #input = byId('room-input');
  #submit = byId('room-submit');
  #joinedList = byId('joined-rooms');
  #joinedHead = byId('joined-rooms-head');
  #otherList = byId('other-rooms');
  #otherHead = byId('other-rooms-head');

  /** `open` (room name) shows a room. */
  constructor(chat, connection, open) {
    this.#chat = chat;
    this.#connection = connection;
    this.#open = open;
    const render = perFrame(() => this.#render());
    chat.on('rooms', render);
    chat.on('active', render);
    connection.on('ready', () => this.refresh());
    chat.on('joined', () => this.refresh());
    chat.on('left', () => this.refresh());
    setInterval(() => !document.hidden && this.refresh(), REFRESH_MS);
    this.#input.addEventListener('input', () => this.#render());
    byId('room-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const name = this.#input.value.trim();
      if (name === '') return;
      this.#input.value = '';
      this.#open(placeNamed(name, this.#chat.directs.areHere));
    });
  }

  focus() {
    this.#input.focus();
    this.#input.select();
  }

  /** Asks soon for the rooms that exist. */
  refresh() {
    this.#refreshing ??= setTimeout(() => {
      this.#refreshing = null;
      this.#load();
    }, REFRESH_PAUSE_MS);
  }

  async #load() {
    if (!this.#connection.ready) return;
    try {
      this.#others = await this.#chat.listRooms();
    } catch {
      // The next refresh is not far.
    }
    this.#render();
  }

  #render() {
    const wanted = this.#input.value.trim();
    const matches = (name) => name.toLocaleLowerCase().includes(wanted.toLocaleLowerCase());
    const joined = [...this.#chat.rooms.values()].filter(({ name, isDirect }) => !isDirect && matches(name));
    const others = this.#others.filter(({ room }) => matches(room) && !this.#chat.rooms.has(room));
    const focused = document.activeElement?.dataset.room;
    this.#joinedList.replaceChildren(...joined.map((room) => this.#joinedItem(room)));
    this.#otherList.replaceChildren(...others.map((room) => this.#otherItem(room)));
    this.#joinedHead.hidden = joined.length === 0;
    this.#otherHead.hidden = others.length === 0;
    this.#submit.hidden = wanted === '';
    const exists = this.#chat.rooms.has(wanted) || this.#others.some(({ room }) => room === wanted);
    const isPerson = placeNamed(wanted, this.#chat.directs.areHere) !== wanted;
    this.#submit.textContent = isPerson ? 'Write' : exists ? 'Open' : 'Create';
    if (focused !== undefined) this.#focusItem(focused);
  }

  /** Rebuilding a list must not take the focus out of it. */
  #focusItem(name) {
    const items = [...document.querySelectorAll('.room-item')];
    items.find((item) => item.dataset.room === name)?.focus();
  }

  #joinedItem(room) {
    const item = this.#item(room.name);
    if (room === this.#chat.active) item.setAttribute('aria-current', 'page');
    if (room.unread) {
      item.classList.add('has-unread');
      const count = el('span', 'count', room.unread > MOST_COUNTED ? `${MOST_COUNTED}+` : String(room.unread));
      count.append(el('span', 'unseen', ' unread'));
      item.append(count);
    }
    return el('li', '', item);
  }

  #otherItem({ room, people, last }) {
    const item = this.#item(room);
    const words = people ? `${people} here` : last && agoInWords(new Date(last));
    if (words) item.append(el('span', 'aside', words));
    return el('li', '', item);
  }

  #item(name) {
    const hash = el('span', 'hash', '#');
    hash.setAttribute('aria-hidden', 'true');
    const item = el('a', 'room-item', hash, named(name));
    item.href = `#${encodeURIComponent(name)}`;
    item.dataset.room = name;
    item.addEventListener('click', (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      this.#open(name);
    });
    return item;
  }
}
