// Making elements. Everything others wrote goes through text nodes, never through HTML; what somebody
// named stands in a <bdi>, so that its direction cannot disturb the words around it.

/** Without a frame for so long, the page is hidden. */
const NO_FRAME_MS = 200;

const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

/** An element with this class (none if empty) and these children: nodes or text. */
export function el(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A name of a person or a room. */
export function named(name, className = '') {
  const element = el('bdi', className, name);
  element.dir = 'auto';
  return element;
}

export function button(className, words, onClick) {
  const element = el('button', className, words);
  element.type = 'button';
  element.addEventListener('click', onClick);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

const FACE_HUES = 10;
const graphemes = 'Segmenter' in Intl ? new Intl.Segmenter() : null;

/** Makes an element the small disc with the first letter of a name; null is a guest. */
export function paintFace(element, name) {
  const letters = graphemes ? Array.from(graphemes.segment(name ?? ''), ({ segment }) => segment) : Array.from(name ?? '');
  element.dataset.hue = name === null ? 'guest' : String(hash(name) % FACE_HUES);
  element.textContent = (letters[0] ?? '?').toLocaleUpperCase();
}

/** FNV-1a over the code points: the same name has the same colour everywhere. */
function hash(name) {
  const mixed = Array.from(name).reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 0x01000193), 0x811c9dc5);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

export function face(name) {
  const element = el('span', 'face');
  element.setAttribute('aria-hidden', 'true');
  paintFace(element, name);
  return element;
}

/** Collapses many calls into one per frame; a hidden page gets no frames, but goes on following the chat. */
export function perFrame(work) {
  let due = null;
  const run = () => {
    cancelAnimationFrame(due.frame);
    clearTimeout(due.timer);
    due = null;
    work();
  };
  return () => {
    due ??= { frame: requestAnimationFrame(run), timer: setTimeout(run, NO_FRAME_MS) };
  };
}
