// What this page has written and the server has not placed yet, below the messages of the active
// room: waiting, or refused with the reason and a way out.

import { button, byId, el, face } from './dom.js';
import { textOf } from './message-view.js';

export class WaitingView {
  #chat;
  #connection;
  #outbox;
  #edit;
  #moved;
  #list = byId('waiting');

  /** `edit` (text) puts a text back into the composer; `moved` is told when the height changed. */
  constructor(chat, connection, outbox, { edit, moved }) {
    this.#chat = chat;
    this.#connection = connection;
    this.#outbox = outbox;
    this.#edit = edit;
    this.#moved = moved;
    outbox.on('change', (room) => room === chat.active?.name && this.#render());
    chat.on('active', () => this.#render());
    connection.on('phase', () => this.#render());
  }

  #render() {
    const room = this.#chat.active;
    const posts = room ? this.#outbox.of(room.name) : [];
    this.#list.replaceChildren(...posts.map((post) => this.#entry(post)));
    this.#moved();
  }

  #entry(post) {
    const state = el('p', 'post-state', this.#words(post));
    if (post.state === 'failed') state.append(...this.#wayOut(post));
    const body = el('div', 'body', ...textOf(post.text), state);
    const entry = el('div', `entry ${post.state}`, el('div', 'message', face(this.#connection.name ?? ''), body));
    entry.dataset.key = post.key;
    return entry;
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
