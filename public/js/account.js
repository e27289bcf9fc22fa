// The lobby with an account, by the oldest client library (Socket.IO 0.9) and in the words of AMQPChat, whose page
// this could take the place of: forms for accounts, one event `chat` that carries JSON in a string.

import { byId, el, named } from './dom.js';

/** The page tries again after so long. */
const AGAIN_MS = 2000;

/** Lines that are kept on the page. */
const LINES = 500;

let socket = null;

for (const id of ['login', 'register']) {
  byId(id).addEventListener('submit', (submitted) => {
    submitted.preventDefault();
    void (id === 'login' ? logIn(fields(submitted.target)) : register(fields(submitted.target)));
  });
}
byId('enter').addEventListener('click', () => {
  byId('password').textContent = '';
  show('room');
  byId('text').focus();
});
byId('logout').addEventListener('click', () => socket?.emit('left'));
byId('composer').addEventListener('submit', (submitted) => {
  submitted.preventDefault();
  send();
});
byId('text').addEventListener('keydown', (pressed) => {
  if (pressed.key !== 'Enter' || pressed.shiftKey || pressed.isComposing) return;
  pressed.preventDefault();
  send();
});

connect();

async function register({ name, mail }) {
  const { pass } = await post('/register', { name, mail });
  if (pass === undefined) return;
  byId('new-name').textContent = name;
  byId('password').textContent = pass;
  if (await logIn({ mail, pass })) show('welcome');
}

async function logIn({ mail, pass }) {
  const { success } = await post('/login', { mail, pass });
  if (!success) return false;
  byId('login').reset();
  byId('register').reset();
  connect();
  return true;
}

/** What a form's address answers. An error is said on the page, and is nothing. */
async function post(address, form) {
  say('');
  try {
    const answer = await fetch(address, { method: 'POST', body: new URLSearchParams(form) });
    const told = await answer.json();
    if (told.error) say(parse(told.error).textContent);
    return told;
  } catch {
    say('The server does not answer. Please try again.');
    return {};
  }
}

/** Connects anew, with the cookie of now: who is logged in decides what is heard. */
function connect() {
  socket?.removeAllListeners();
  socket?.socket.disconnect();
  const now = io.connect(location.origin, { reconnect: false, 'force new connection': true });
  socket = now;
  now.on('connect', () => {
    say('');
    // Told only once: who connects again goes on where it was.
    if (now.hasJoined) return;
    now.hasJoined = true;
    now.emit('joined', (name) => {
      if (now === socket) enter(name);
    });
  });
  now.on('chat', (told) => {
    if (now === socket) addLine(JSON.parse(told));
  });
  const lost = () => {
    if (now !== socket) return;
    say('Connection lost. Trying again …');
    setTimeout(() => now === socket && now.socket.reconnect(), AGAIN_MS);
  };
  now.on('disconnect', (reason) => {
    // Sent away in words: the login has ended, here or elsewhere.
    if (reason === 'booted') return connect();
    lost();
  });
  now.on('error', lost);
  now.on('reconnect_failed', lost);
}

/** The server knows us by this name, or by none. */
function enter(name) {
  byId('who').hidden = byId('logout').hidden = name === null;
  if (name === null) return show('gate');
  byId('name').textContent = name;
  // What was said before comes now.
  byId('lines').replaceChildren();
  // A new password is to be read first.
  if (byId('password').textContent === '') show('room');
}

function show(shown) {
  for (const id of ['gate', 'welcome', 'room']) byId(id).hidden = id !== shown;
}

function send() {
  const text = byId('text').value;
  if (text.trim() === '') return;
  socket.send(text);
  byId('text').value = '';
}

function addLine({ action, name, message }) {
  const lines = byId('lines');
  const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  const author = named(parse(name).textContent, 'author');
  const line = action === 'system' ? el('p', 'line news', author, ...written(message)) : el('p', 'line', author, ': ', ...written(message));
  lines.append(line);
  while (lines.childElementCount > LINES) lines.firstElementChild.remove();
  if (isAtEnd) lines.scrollTop = lines.scrollHeight;
}

/** A message's HTML as nodes of ours: its text, and the places where its author's name stands. */
function written(html) {
  return Array.from(parse(html).childNodes, (node) => (node.nodeName === 'B' ? el('b', 'you', node.textContent) : node.textContent));
}

/** HTML as nodes for which nothing is loaded and in which nothing runs. */
function parse(html) {
  const template = document.createElement('template');
  template.innerHTML = html;
  return template.content;
}

function say(words) {
  byId('problem-words').textContent = words;
  byId('problem').hidden = words === '';
}

function fields(form) {
  return Object.fromEntries(new FormData(form));
}
