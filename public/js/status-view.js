// How the connection is, in words; and what went wrong that belongs to no message.

import { byId, named } from './dom.js';

/** A connection made sooner than this needs no words. */
const PATIENCE_MS = 700;

const SHORT = {
  idle: 'Not connected',
  connecting: 'Connecting…',
  online: 'Connected',
  reconnecting: 'Reconnecting…',
  offline: 'Offline',
  closed: 'Disconnected',
};

export class StatusView {
  #bar = byId('status');
  #patience = null;
  #words = byId('status-words');
  #again = byId('connect-again');
  #short = byId('connection');
  #problem = byId('problem');
  #problemWords = byId('problem-words');

  constructor(chat, connection) {
    connection.on('phase', (phase, goodbye) => this.#say(phase, goodbye));
    this.#again.addEventListener('click', () => connection.reopen());
    chat.on('problem', (parts) => this.problem(parts));
    byId('problem-close').addEventListener('click', () => this.dismiss());
  }

  /** Shows a problem until it is dismissed: texts, and `{name}` for what somebody named. */
  problem(parts) {
    this.#problemWords.replaceChildren(...parts.map((part) => (typeof part === 'string' ? part : named(part.name))));
    this.#problem.hidden = false;
  }

  dismiss() {
    this.#problem.hidden = true;
  }

  #say(phase, goodbye) {
    this.#short.textContent = SHORT[phase];
    this.#short.dataset.phase = phase;
    clearTimeout(this.#patience);
    const show = () => (this.#bar.dataset.phase = phase);
    if (phase === 'connecting') this.#patience = setTimeout(show, PATIENCE_MS);
    else show();
    this.#again.hidden = phase !== 'closed';
    this.#words.textContent = inWords(phase, goodbye);
  }
}

function inWords(phase, goodbye) {
  switch (phase) {
    case 'connecting':
      return 'Connecting…';
    case 'reconnecting':
      if (goodbye?.code === 'shutdown') return 'The server is being restarted. Reconnecting… Messages you write meanwhile wait here.';
      if (goodbye?.code === 'silent') return 'The server does not answer. Reconnecting… Messages you write meanwhile wait here.';
      return 'Reconnecting… Messages you write meanwhile wait here.';
    case 'offline':
      return 'You are offline. Messages you write wait here and are sent when the network is back.';
    case 'closed':
      if (goodbye?.code === 'flooding') return 'The server ended this connection because too much was sent over it.';
      return `The server ended this connection: ${goodbye?.message ?? 'it did not say why'}`;
    default:
      return '';
  }
}
