// The list of conversations with single people, for those who are signed in.

import { addressOf } from './direct.js';
import { byId, el, face, named, perFrame } from './dom.js';

const MOST_COUNTED = 99;

export class DirectPanel {
  #chat;
  #directs;
  #open;
  #section = byId('direct-section');
  #list = byId('direct-list');
  #hint = byId('direct-hint');

  /** `open` (key) shows a conversation. */
  constructor(chat, directs, open) {
    this.#chat = chat;
    this.#directs = directs;
    this.#open = open;
    const render = perFrame(() => this.#render());
    directs.on('change', render);
    chat.on('active', render);
  }

  #render() {
    this.#section.hidden = !this.#directs.areHere;
    if (this.#section.hidden) return;
    const conversations = this.#directs.conversations;
    const focused = document.activeElement?.dataset.user;
    this.#list.replaceChildren(...conversations.map((conversation) => this.#item(conversation)));
    this.#hint.hidden = conversations.length > 0;
    if (focused !== undefined) [...this.#list.querySelectorAll('a')].find(({ dataset }) => dataset.user === focused)?.focus();
  }

  #item(conversation) {
    const words = el('span', 'direct-words', named(conversation.title));
    if (conversation.excerpt) {
      const excerpt = el('span', 'excerpt', conversation.excerpt);
      excerpt.dir = 'auto';
      words.append(excerpt);
    }
    const item = el('a', 'room-item direct-item', face(conversation.title), words);
    item.href = `#${addressOf(conversation)}`;
    item.dataset.user = conversation.user;
    item.title = conversation.user;
    if (conversation === this.#chat.active) item.setAttribute('aria-current', 'page');
    if (conversation.unread) {
      item.classList.add('has-unread');
      const count = el('span', 'count', conversation.unread > MOST_COUNTED ? `${MOST_COUNTED}+` : String(conversation.unread));
      count.append(el('span', 'unseen', ' unread'));
      item.append(count);
    }
    item.addEventListener('click', (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      this.#open(conversation.name);
    });
    return el('li', '', item);
  }
}
