// The messages of the active room on the screen: a window of bounded size onto the room's run of
// messages, which follows the newest one or stays where the reader scrolled to. Nothing ever jumps.

import { byId, perFrame } from './dom.js';
import { messageEntry } from './message-view.js';

const MOST_ENTRIES = 600;
const PAGE = 60;
/** Pixels from an end of the window at which more is brought in. */
const NEAR = 500;
/** Pixels from the end that still count as being at the end. */
const AT_END = 40;

export class LogView {
  #chat;
  #connection;
  #room = null;
  #generation = 0;
  /** First and last `seq` in the window; empty when from > to. */
  #from = 0;
  #to = -1;
  #atEnd = true;
  /** `scrollTop` as it was last known. */
  #top = 0;
  /** The newest `seq` when the end was last in sight. */
  #seenTo = -1;
  #unreadLine = null;
  #loading = false;
  #failed = false;

  #scroller = byId('scroller');
  #list = byId('messages');
  #beginning = byId('beginning');
  #pill = byId('pill');
  #pillWords = byId('pill-words');

  constructor(chat, connection) {
    this.#chat = chat;
    this.#connection = connection;
    const update = perFrame(() => this.#update());
    chat.on('active', (room) => this.#show(room));
    chat.on('messages', (room) => room === this.#room && update());
    chat.on('joined', (room) => room === this.#room && update());
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#pill.addEventListener('click', () => {
      this.toEnd();
      this.#scroller.focus({ preventScroll: true });
    });
    // A message that was unfolded may have moved the end out of sight.
    this.#list.addEventListener('click', () => this.#look());
    document.addEventListener('visibilitychange', update);
    // The keyboard of a phone, a growing text box, words that appear above: what was at the end stays there.
    const resized = new ResizeObserver(() => this.#atEnd && this.#scrollToEnd());
    for (const it of [this.#scroller, this.#beginning, this.#list]) resized.observe(it);
  }

  /** Goes to the newest message. */
  toEnd() {
    if (!this.#room) return;
    if (this.#to !== this.#newest) this.#fill(this.#newest - PAGE + 1);
    this.#atEnd = true;
    this.#scrollToEnd();
    this.#settle();
  }

  /** Something below the messages grew or shrank. */
  endMoved() {
    if (this.#atEnd) this.#scrollToEnd();
  }

  get #newest() {
    return this.#room.newest?.seq ?? -1;
  }

  get #oldest() {
    return this.#room.oldest?.seq ?? 0;
  }

  #show(room) {
    this.#room = room;
    this.#atEnd = true;
    this.#seenTo = room ? this.#newest : -1;
    this.#failed = false;
    this.#list.replaceChildren();
    if (!room) {
      this.#pill.hidden = true;
      return;
    }
    this.#generation = room.generation;
    this.#unreadLine = room.firstUnread;
    this.#list.setAttribute('aria-label', room.isDirect ? `Messages with ${room.title}` : `Messages in ${room.name}`);
    this.#fill(Math.min(this.#newest - PAGE + 1, room.firstUnread ?? Infinity));
    this.#scrollToEnd();
    this.#showUnreadLine();
    this.#settle();
  }

  /** Replaces the window by one that starts at `from`, or later if that is too much, and ends at the end. */
  #fill(from) {
    this.#from = Math.max(from, this.#oldest, this.#newest - MOST_ENTRIES + 1);
    this.#to = this.#newest;
    this.#list.replaceChildren(...this.#entries(this.#from, this.#to));
  }

  #entries(from, to) {
    const entries = [];
    for (let seq = from; seq <= to; seq += 1) entries.push(this.#entry(seq));
    return entries;
  }

  #entry(seq) {
    const previous = seq > this.#from ? this.#room.at(seq - 1) : undefined;
    const message = this.#room.at(seq);
    return messageEntry(message, previous, seq === this.#unreadLine, message.mine ? this.#room.markOf(message) : null);
  }

  #update() {
    const room = this.#room;
    if (!room) return;
    if (room.generation !== this.#generation) {
      this.#show(room);
      return;
    }
    const wasEmpty = this.#to < this.#from;
    if (wasEmpty) {
      this.#from = this.#oldest;
      this.#to = this.#from - 1;
    }
    const added = this.#newest - this.#to;
    if (added > 0) this.#follow(added, wasEmpty);
    this.#settle();
  }

  #follow(added, wasEmpty) {
    const reading = this.#atEnd && !document.hidden;
    // In sight, new messages need no line; out of sight, the first one gets it.
    if (!reading && this.#room.firstUnread > this.#to) this.#unreadLine = this.#room.firstUnread;
    if (wasEmpty) this.#unreadLine = this.#room.firstUnread > this.#from ? this.#room.firstUnread : null;
    if (this.#atEnd) {
      if (added > MOST_ENTRIES) this.#fill(this.#newest - PAGE + 1);
      else this.#append(added);
      this.#scrollToEnd();
    } else {
      // Beyond that the reader comes upon them when scrolling down.
      this.#append(Math.min(added, MOST_ENTRIES - this.#list.childElementCount));
    }
  }

  #append(count) {
    if (count <= 0) return;
    const first = this.#to + 1;
    this.#to += count;
    this.#list.append(...this.#entries(first, this.#to));
    if (this.#atEnd) this.#dropOldest();
  }

  #dropOldest() {
    const excess = this.#list.childElementCount - MOST_ENTRIES;
    if (excess <= 0) return;
    for (let count = 0; count < excess; count += 1) this.#list.firstElementChild.remove();
    this.#from += excess;
    this.#list.firstElementChild.replaceWith(this.#entry(this.#from));
  }

  #dropNewest() {
    while (this.#list.childElementCount > MOST_ENTRIES) {
      this.#list.lastElementChild.remove();
      this.#to -= 1;
    }
  }

  #scrolled() {
    const { scrollTop } = this.#scroller;
    const isUp = scrollTop < this.#top;
    this.#top = scrollTop;
    // Browsers tell of scrolling before they tell of growing: only who goes up leaves the end.
    if (this.#atEnd && !isUp) this.#scrollToEnd();
    this.#look();
  }

  /** Sees what is in sight. */
  #look() {
    if (!this.#room) return;
    // What has just come and is not drawn yet does not end the following.
    const following = this.#atEnd || this.#to === this.#newest;
    this.#atEnd = following && this.#distanceToEnd() <= AT_END;
    this.#settle();
  }

  /** After anything moved: brings in what is near, marks as read what was seen, says what is below. */
  #settle() {
    const room = this.#room;
    if (this.#atEnd) {
      this.#seenTo = this.#newest;
      if (!document.hidden) this.#chat.markRead(room);
      if (this.#to === this.#newest) room.trim();
    }
    // What has just come to an empty room is not drawn yet.
    const isDrawn = this.#to >= this.#from;
    if (isDrawn && this.#to < this.#newest && this.#distanceToEnd() < NEAR) this.#newer();
    if (this.#scroller.scrollTop < NEAR) this.#older();
    this.#sayBeginning();
    const missed = this.#newest - this.#seenTo;
    this.#pill.hidden = this.#atEnd;
    this.#pill.classList.toggle('has-new', missed > 0);
    this.#pillWords.textContent = missed ? `${missed} new message${missed === 1 ? '' : 's'}` : 'Newest';
  }

  #newer() {
    this.#keepInPlace(this.#list.lastElementChild, () => {
      this.#append(Math.min(PAGE, this.#newest - this.#to));
      this.#dropOldest();
    });
  }

  async #older() {
    const room = this.#room;
    if (this.#loading || this.#to < this.#from) return;
    if (this.#from === this.#oldest) {
      if (room.beginning || room.state !== 'joined') return;
      this.#loading = true;
      this.#list.setAttribute('aria-busy', 'true');
      this.#failed = false;
      try {
        await this.#chat.loadOlder(room);
      } catch {
        this.#failed = true;
      }
      this.#loading = false;
      // Old messages are not read out as if they were said now.
      requestAnimationFrame(() => this.#list.removeAttribute('aria-busy'));
      if (room !== this.#room || room.generation !== this.#generation) return;
    }
    if (this.#from > this.#oldest) this.#prepend(Math.min(PAGE, this.#from - this.#oldest));
    if (this.#failed) this.#sayBeginning();
    else this.#settle();
  }

  #prepend(count) {
    const anchor = this.#list.firstElementChild;
    const previousFirst = this.#from;
    this.#from -= count;
    // The entry that was first may lose its day or its author; its end is what stays in place.
    const replacement = this.#entry(previousFirst);
    const before = anchor.getBoundingClientRect().bottom;
    anchor.replaceWith(replacement);
    replacement.before(...this.#entries(this.#from, previousFirst - 1));
    if (this.#atEnd) this.#scrollToEnd();
    else this.#scroller.scrollTop += replacement.getBoundingClientRect().bottom - before;
    this.#dropNewest();
  }

  #keepInPlace(anchor, change) {
    const before = anchor.getBoundingClientRect().bottom;
    change();
    this.#scroller.scrollTop += anchor.getBoundingClientRect().bottom - before;
  }

  #sayBeginning() {
    const { beginning, messages, state } = this.#room;
    const atTop = this.#from === this.#oldest;
    let words = '';
    if (messages.length === 0) words = state === 'joined' ? 'Nothing has been said here yet. Say hello!' : '';
    else if (atTop && beginning) words = `This is where what is kept of this ${this.#room.isDirect ? 'conversation' : 'room'} begins.`;
    else if (atTop && this.#failed) words = 'Older messages could not be loaded. Scroll to try again.';
    else if (atTop && !this.#connection.ready) words = 'Older messages can be loaded when the connection is back.';
    else if (atTop) words = 'Loading older messages…';
    this.#beginning.textContent = words;
  }

  #showUnreadLine() {
    const line = this.#list.querySelector('.unread-line');
    if (!line) return;
    const hiddenBy = this.#scroller.getBoundingClientRect().top + 24 - line.getBoundingClientRect().top;
    if (hiddenBy <= 0) return;
    this.#scroller.scrollTop -= hiddenBy;
    this.#atEnd = this.#distanceToEnd() <= AT_END;
    this.#seenTo = this.#newest - this.#room.unread;
    this.#chat.markRead(this.#room);
  }

  #distanceToEnd() {
    return this.#scroller.scrollHeight - this.#scroller.scrollTop - this.#scroller.clientHeight;
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }
}
