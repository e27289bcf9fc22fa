// How far our messages in the conversation on the screen have got: sent, delivered, read. Said once for all that
// have got equally far, below the last of them.

import { markWords } from './conversation.js';
import { byId, el, perFrame } from './dom.js';

/** Says on a mark how far its message has got. */
export function paintMark(element, mark) {
  if (element.dataset.mark === mark) return;
  element.dataset.mark = mark;
  element.replaceChildren(el('span', 'mark-words', markWords[mark]));
}

export function watchMarks(chat, directs) {
  const list = byId('messages');
  const update = perFrame(() => {
    const { active } = chat;
    if (!active?.isDirect) return;
    const shown = [...list.querySelectorAll('.mark')];
    for (const element of shown) {
      const seq = active.seqOf(element.closest('.entry').dataset.id);
      if (seq !== undefined) paintMark(element, active.markOf({ seq }));
    }
    shown.forEach((element, index) => (element.hidden = element.dataset.mark === shown[index + 1]?.dataset.mark));
  });
  directs.on('marks', (conversation) => conversation === chat.active && update());
  // Whatever brings an entry onto the screen may do so after the marks were told.
  new MutationObserver(update).observe(list, { childList: true });
}
