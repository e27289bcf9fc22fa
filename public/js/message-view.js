// One message on the screen, with what stands above it: a day, the "new messages" line, or nothing
// when it goes on where the same author left off. log-view.js decides which messages there are.

import { button, el, face, named } from './dom.js';
import { paintMark } from './marks-view.js';
import { clockTime, dayInWords, fullTime, sameDay } from './when.js';

const SAME_BREATH_MS = 5 * 60_000;

/** A text longer than this is folded until somebody wants to read it. */
const FOLD_ABOVE = { characters: 1_500, lines: 18 };

const UNKNOWN_AUTHOR = 'guest';

/**
 * The entry for a message that stands below `previous` (undefined: below nothing). `mark` says how far it has got,
 * for those of ours where that is known.
 */
export function messageEntry(message, previous, firstUnread, mark = null) {
  const time = new Date(message.time);
  const before = previous && new Date(previous.time);
  const newDay = !before || !sameDay(before, time);
  const goesOn = !newDay && !firstUnread && previous.author === message.author && time - before < SAME_BREATH_MS;

  const entry = el('div', goesOn ? 'entry goes-on' : 'entry');
  entry.dataset.id = message.id;
  if (newDay) entry.append(separator('day', dayInWords(time)));
  if (firstUnread) entry.append(separator('unread-line', 'New messages'));
  entry.append(goesOn ? following(message, time) : opening(message, time));
  if (mark) entry.querySelector('.body').append(markElement(mark));
  return entry;
}

/** What was said, as text only. */
export function textOf(text) {
  const block = el('div', 'text', text);
  block.dir = 'auto';
  if (text.length <= FOLD_ABOVE.characters && text.split('\n', FOLD_ABOVE.lines + 1).length <= FOLD_ABOVE.lines) return [block];
  block.classList.add('folded');
  const unfold = button('link-button unfold', 'Show the whole message', () => {
    const folded = block.classList.toggle('folded');
    unfold.textContent = folded ? 'Show the whole message' : 'Show less';
    unfold.setAttribute('aria-expanded', String(!folded));
  });
  unfold.setAttribute('aria-expanded', 'false');
  return [block, unfold];
}

function opening(message, time) {
  const head = el('div', 'head', author(message, 'author'), timeOf(message, time));
  return el('div', 'message', face(message.author), el('div', 'body', head, ...textOf(message.text)));
}

/** Author and time are still there for those who hear the page. */
function following(message, time) {
  const unseenAuthor = el('span', 'unseen', author(message, ''), ': ');
  return el('div', 'message', timeOf(message, time), el('div', 'body', unseenAuthor, ...textOf(message.text)));
}

function author(message, className) {
  return message.author === null ? el('span', `${className} guest`.trim(), UNKNOWN_AUTHOR) : named(message.author, className);
}

function timeOf(message, time) {
  const element = el('time', '', clockTime(time));
  element.dateTime = message.time;
  element.title = message.replica ? `${fullTime(time)} · ${message.replica}` : fullTime(time);
  return element;
}

function markElement(mark) {
  const element = el('span', 'mark');
  paintMark(element, mark);
  return element;
}

function separator(className, words) {
  return el('div', `separator ${className}`, el('span', '', words));
}
