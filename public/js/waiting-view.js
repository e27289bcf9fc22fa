// What this page has written and the server has not placed yet, below the messages of the active
// room: waiting, or refused with the reason and a way out.

import { button, byId, el, face, perFrame } from './dom.js';
import { textOf } from './message-view.js';

/** Of more than these the newest are shown, and how many wait before them. */
const MOST_SHOWN = 100;

export class WaitingView {
  #chat;
  #connection;
  #outbox;
  #edit;
  #moved;
  #list = byId('waiting');
  #earlier = el('p', 'post-state');
  /** What is shown, by key: the element, and what it says. */
  #entries = new Map();

  /** `edit` (text) puts a text back into the composer; `moved` is told when the height changed. */
  constructor(chat, connection, outbox, { edit, moved }) {
    this.#chat = chat;
    this.#connection = connection;
    this.#outbox = outbox;
    this.#edit = edit;
    this.#moved = perFrame(moved);
    outbox.on('change', (room) => room === chat.active?.name && this.#render());
    chat.on('active', () => this.#render());
    connection.on('phase', () => this.#render());
  }

  #render() {
    const room = this.#chat.active;
    const posts = room ? this.#outbox.of(room.name) : [];
    const shown = posts.slice(-MOST_SHOWN);
    const before = this.#entries;
    this.#entries = new Map(shown.map((post) => [post.key, this.#entry(post, before.get(post.key))]));
    const earlier = posts.length - shown.length;
    this.#earlier.textContent = `${earlier} earlier message${earlier === 1 ? ' waits' : 's wait'}, too`;
    this.#place([...(earlier ? [this.#earlier] : []), ...[...this.#entries.values()].map(({ element }) => element)]);
    this.#moved();
  }

  /** Has these in the list, in this order, without touching those that stay. */
  #place(elements) {
    const wanted = new Set(elements);
    for (const element of [...this.#list.children]) if (!wanted.has(element)) element.remove();
    let place = this.#list.firstChild;
    for (const element of elements) {
      if (element === place) place = place.nextSibling;
      else this.#list.insertBefore(element, place);
    }
  }

  /** The entry of a post: the one that is there, if it says the same. */
  #entry(post, before) {
    const words = this.#words(post);
    const name = this.#connection.name ?? '';
    const says = JSON.stringify([post.state, words, name]);
    if (before?.says === says) return before;
    const state = el('p', 'post-state', words);
    if (post.state === 'failed') state.append(...this.#wayOut(post));
    const body = el('div', 'body', ...textOf(post.text), state);
    const element = el('div', `entry ${post.state}`, el('div', 'message', face(name), body));
    element.dataset.key = post.key;
    return { element, says };
  }

  #words(post) {
    if (post.state === 'failed') return `Not sent: ${post.reason}.`;
    if (post.state === 'kept') return 'Sent';
    if (!this.#connection.ready) return 'Waiting for the connection';
    return post.reason ? `Not sent yet: ${post.reason}. Trying again…` : 'Sending…';
  }

  #wayOut(post) {
    const edit = () => {
      this.#outbox.drop(post.key);
      this.#edit(post.text);
    };
    return [
      button('link-button', 'Edit', edit),
      button('link-button', 'Send again', () => this.#outbox.sendAgain(post.key)),
      button('link-button', 'Discard', () => this.#outbox.drop(post.key)),
    ];
  }
}
