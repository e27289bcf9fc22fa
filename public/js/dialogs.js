// The two questions the page asks: your name, and whether to leave with posts unsent.

import { byId, paintFace } from './dom.js';
import { storage } from './storage.js';

const LONGEST_NAME = 40;

export class NameDialog {
  #connection;
  #dialog = byId('name-dialog');
  #input = byId('name-input');
  #problem = byId('name-problem');
  #cancel = byId('name-cancel');

  /** `done` is called whenever the question is off the screen again. */
  constructor(connection, done) {
    this.#connection = connection;
    connection.on('named', (name) => this.#called(name));
    connection.on('refused', (name, error) => this.ask(name, name === '' ? '' : `${error.message}.`));
    byId('me').addEventListener('click', () => this.ask(connection.name ?? ''));
    this.#cancel.addEventListener('click', () => this.#dialog.close());
    this.#dialog.addEventListener('close', () => {
      // Without a name there is nothing behind the dialog to go back to.
      if (connection.name === null) this.ask('');
      else done();
    });
    byId('name-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  ask(name, problem = '') {
    this.#input.value = name;
    this.#say(problem);
    this.#cancel.hidden = !this.#connection.ready;
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#input.focus();
    this.#input.select();
  }

  #submit() {
    const name = this.#input.value.trim();
    if (name === '') this.#say('Please type a name.');
    else if (Array.from(name).length > LONGEST_NAME) this.#say(`A name has at most ${LONGEST_NAME} characters.`);
    else {
      this.#connection.introduce(name);
      this.#dialog.close();
    }
  }

  #say(problem) {
    this.#problem.textContent = problem;
    this.#input.setAttribute('aria-invalid', String(problem !== ''));
  }

  #called(name) {
    // The name of a token is not ours to go by without it.
    if (this.#connection.user === null) storage.name = name;
    byId('me-name').textContent = name;
    paintFace(byId('me-face'), name);
  }
}

/** Asks whether to leave although posts have not been sent; resolves to the answer. */
export function confirmLeaving(unsent) {
  const dialog = byId('confirm-dialog');
  byId('confirm-words').textContent = unsent === 1
    ? 'One message has not been sent yet. If you leave this room it is discarded.'
    : `${unsent} messages have not been sent yet. If you leave this room they are discarded.`;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
