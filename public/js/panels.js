// The side panels where they slide over the page (small screens): one at a time, the rest of the page
// out of reach meanwhile, focus going in and back. On wide screens the style shows them always.

import { byId } from './dom.js';

const PANELS = {
  rooms: { panel: byId('rooms-panel'), opener: byId('open-rooms'), slides: matchMedia('(max-width: 719.98px)') },
  people: { panel: byId('people-panel'), opener: byId('open-people'), slides: matchMedia('(max-width: 1023.98px)') },
};

let open = null;

export function openPanel(name) {
  if (!PANELS[name].slides.matches) return;
  show(name);
  PANELS[name].panel.querySelector('[data-close]').focus();
}

/** Closes the panel that slid in; false if none had. */
export function closePanel() {
  if (open === null) return false;
  const { opener } = PANELS[open];
  show(null);
  opener.focus();
  return true;
}

function show(name) {
  open = name;
  document.body.dataset.panel = name ?? '';
  byId('main').inert = name !== null;
  for (const [each, { panel, opener, slides }] of Object.entries(PANELS)) {
    opener.setAttribute('aria-expanded', String(each === name));
    panel.inert = slides.matches ? each !== name : name !== null;
  }
}

for (const [name, { panel, opener, slides }] of Object.entries(PANELS)) {
  opener.addEventListener('click', () => openPanel(name));
  panel.querySelector('[data-close]').addEventListener('click', closePanel);
  slides.addEventListener('change', () => show(null));
}
byId('backdrop').addEventListener('click', closePanel);
show(null);
