// The text box: sending, its length limit, one draft per room, and telling others that we type.

import { byId } from './dom.js';

const TYPING_AGAIN_MS = 2_500;
/** Between two words about typing: who writes very fast does not spend what the server reads on them. */
const TYPING_PAUSE_MS = 1_000;
/** Bytes left at which the limit is shown. */
const SHOW_LIMIT_BELOW = 500;

const encoder = new TextEncoder();

export class Composer {
  #chat;
  #connection;
  #send;
  #room = null;
  /** What was said last, when, and in which room; what is true by now is said a pause later. */
  #typing = { on: false, at: -Infinity, room: null };
  #isTyping = false;
  #typingDue = null;

  #form = byId('composer');
  #text = byId('text');
  #length = byId('length');
  #button = byId('send');

  /** `send` (room name, text) takes what was written. */
  constructor(chat, connection, send) {
    this.#chat = chat;
    this.#connection = connection;
    this.#send = send;
    chat.on('active', (room) => this.#enter(room));
    chat.on('people', (room) => room === this.#room && this.#address());
    connection.on('ready', () => this.#measure());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('keydown', (event) => {
      // While a word is being composed Enter chooses a candidate (229 is how Safari says so).
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('input', () => {
      this.#measure();
      this.#sayTyping(this.#text.value.trim() !== '');
    });
    // A tap on it must not make the keyboard of a phone vanish.
    this.#button.addEventListener('pointerdown', (event) => event.preventDefault());
  }

  /** Puts a text into the box, after what stands there. */
  edit(text) {
    const written = this.#text.value.trim();
    this.#text.value = written ? `${written}\n${text}` : text;
    this.#measure();
    this.#text.focus();
  }

  focus() {
    this.#text.focus();
  }

  #enter(room) {
    if (this.#room) {
      this.#sayTyping(false);
      this.#room.draft = this.#text.value;
    }
    this.#room = room;
    this.#form.hidden = room === null;
    this.#text.value = room?.draft ?? '';
    this.#address();
    this.#measure();
  }

  #address() {
    if (this.#room) this.#text.placeholder = `Message ${this.#room.title}`;
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!this.#room || text === '' || this.#bytesLeft() < 0) return;
    this.#send(this.#room.name, text);
    this.#sayTyping(false);
    this.#text.value = '';
    this.#measure();
    this.#text.focus();
  }

  #bytesLeft() {
    // As JSON, without the quotes around it.
    const encoded = encoder.encode(JSON.stringify(this.#text.value.trim())).length - 2;
    return this.#connection.maxText - encoded;
  }

  #measure() {
    // Its height follows its content up to what the style allows.
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    const left = this.#bytesLeft();
    this.#length.hidden = left >= SHOW_LIMIT_BELOW;
    this.#length.classList.toggle('over', left < 0);
    this.#length.textContent = left < 0 ? `${-left} bytes too long` : `${left} bytes left`;
    this.#text.setAttribute('aria-invalid', String(left < 0));
    this.#button.disabled = this.#text.value.trim() === '' || left < 0;
  }

  #sayTyping(on) {
    this.#isTyping = on;
    const { at } = this.#typing;
    const left = at + TYPING_PAUSE_MS - performance.now();
    if (left <= 0) this.#tellTyping();
    else this.#typingDue ??= setTimeout(() => this.#tellTyping(), left);
  }

  #tellTyping() {
    clearTimeout(this.#typingDue);
    this.#typingDue = null;
    const [on, now] = [this.#isTyping, performance.now()];
    const said = this.#typing;
    if (on ? said.on && now - said.at < TYPING_AGAIN_MS : !said.on) return;
    const room = on ? this.#room : said.room;
    if (room?.state !== 'joined' || room.isDirect) return;
    this.#typing = { on, at: now, room };
    // Lost without harm: others forget it by themselves.
    this.#connection.request('typing', { room: room.name, on }).catch(() => {});
  }
}
