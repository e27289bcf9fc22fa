// Puts the page together: the connection, the chat, what is shown of it, the address bar, the keys.

import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { Connection } from './connection.js';
import { NameDialog, confirmLeaving } from './dialogs.js';
import { DirectPanel } from './direct-panel.js';
import { addressOf, placeNamed } from './direct.js';
import { byId, perFrame } from './dom.js';
import { LogView } from './log-view.js';
import { watchMarks } from './marks-view.js';
import { Outbox } from './outbox.js';
import { closePanel, openPanel } from './panels.js';
import { PeopleView } from './people-view.js';
import { RoomsPanel } from './rooms-panel.js';
import { StatusView } from './status-view.js';
import { storage } from './storage.js';
import { forgetToken, takeToken } from './token.js';
import { WaitingView } from './waiting-view.js';

/** Where somebody lands who follows no link and was nowhere before. */
const FIRST_ROOM = 'lobby';

const TITLE = document.title;
const wide = matchMedia('(min-width: 720px)');

function start(io) {
  const connection = new Connection(io, takeToken());
  const chat = new Chat(connection);
  const outbox = new Outbox(connection, chat);

  const log = new LogView(chat, connection);
  const composer = new Composer(chat, connection, (room, text) => {
    outbox.add(room, text);
    log.toEnd();
  });
  new WaitingView(chat, connection, outbox, {
    edit: (text) => composer.edit(text),
    moved: () => log.endMoved(),
  });
  const status = new StatusView(chat, connection);
  // On a phone the keyboard would come up over what is to be read.
  const readyToWrite = () => wide.matches && composer.focus();
  const names = new NameDialog(connection, readyToWrite);
  const open = (name) => {
    status.dismiss();
    chat.open(name);
    closePanel();
    readyToWrite();
  };
  const rooms = new RoomsPanel(chat, connection, open);
  new PeopleView(chat, connection, open);
  new DirectPanel(chat, chat.directs, open);
  watchMarks(chat, chat.directs);

  followToken(connection, chat, outbox, status);
  followAddress(chat, connection, open);
  nameTheRoom(chat);
  watchUnread(chat);
  leaveOnRequest(chat, outbox);
  listenForKeys(chat, rooms, status);
  for (const id of ['open-rooms', 'find-room']) byId(id).addEventListener('click', () => rooms.refresh());
  byId('find-room').addEventListener('click', () => findRoom(rooms));

  chat.open(placeInAddress(connection) ?? storage.rooms.at(-1) ?? FIRST_ROOM);
  // A token may know the name; if it does not, it is asked for.
  if (storage.name === null && connection.token === null) names.ask('');
  else connection.introduce(storage.name ?? '');
}

function roomInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)).trim() || null;
  } catch {
    return null;
  }
}

function placeInAddress(connection) {
  const name = roomInAddress();
  return name === null ? null : placeNamed(name, connection.token !== null);
}

function followToken(connection, chat, outbox, status) {
  connection.on('signed-out', (error) => {
    forgetToken();
    // The name was the token's.
    connection.name = storage.name ?? '';
    const waits = outbox.needsToken ? ' What you have not sent yet waits for that.' : '';
    status.problem([`You are not signed in any more: ${error.message}. Open this page from your application again.${waits}`]);
    if (chat.active?.isDirect) chat.open(storage.rooms.at(-1) ?? FIRST_ROOM);
  });
}

function followAddress(chat, connection, open) {
  chat.on('active', (room) => {
    if (room?.name === (placeInAddress(connection) ?? undefined)) return;
    const address = room ? `#${addressOf(room)}` : location.pathname;
    // Coming from nowhere there is nothing to go back to.
    if (room && roomInAddress() !== null) history.pushState(null, '', address);
    else history.replaceState(null, '', address);
  });
  for (const event of ['hashchange', 'popstate']) {
    window.addEventListener(event, () => {
      if (location.hash.startsWith('#token=')) {
        // Whoever comes with another token comes as somebody else.
        takeToken();
        location.reload();
        return;
      }
      const name = placeInAddress(connection);
      if (name !== null && name !== chat.active?.name) open(name);
    });
  }
}

function nameTheRoom(chat) {
  // The name of a person is known once a message of theirs is.
  chat.on('people', (room) => room === chat.active && (byId('room-name').textContent = room.title));
  chat.on('active', (room) => {
    byId('room-name').textContent = room?.title ?? 'No room';
    byId('leave').hidden = room === null || room.isDirect === true;
    byId('open-people').hidden = room === null;
    byId('scroller').hidden = room === null;
    byId('no-room').hidden = room !== null;
  });
}

function watchUnread(chat) {
  const update = perFrame(() => {
    const rooms = [...chat.rooms.values()];
    const all = rooms.reduce((sum, room) => sum + room.unread, 0);
    const elsewhere = rooms.some((room) => room !== chat.active && room.unread > 0);
    const where = chat.active ? `${chat.active.title} · ${TITLE}` : TITLE;
    document.title = all ? `(${all}) ${where}` : where;
    byId('unread-elsewhere').hidden = !elsewhere;
    byId('open-rooms').setAttribute('aria-label', elsewhere ? 'Rooms, unread messages' : 'Rooms');
  });
  chat.on('rooms', update);
  chat.on('active', update);
}

function leaveOnRequest(chat, outbox) {
  byId('leave').addEventListener('click', async () => {
    const { name } = chat.active;
    const unsent = outbox.unkept(name);
    if (unsent === 0 || await confirmLeaving(unsent)) chat.leave(name);
    // The button that was pressed is gone with the last room.
    if (chat.active === null) byId('find-room').focus();
  });
}

function findRoom(rooms) {
  openPanel('rooms');
  rooms.focus();
}

function listenForKeys(chat, rooms, status) {
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && !document.querySelector('dialog[open]')) {
      if (!closePanel()) status.dismiss();
    } else if (event.key.toLowerCase() === 'k' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      findRoom(rooms);
    } else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
      event.preventDefault();
      step(chat, event.key === 'ArrowUp' ? -1 : 1);
    }
  });
}

/** Goes to the room above or below in the list. */
function step(chat, by) {
  const names = [...chat.rooms.keys()];
  const at = names.indexOf(chat.active?.name);
  if (names.length > 1) chat.open(names[(at + by + names.length) % names.length]);
}

if (window.io) {
  start(window.io);
} else {
  byId('status-words').textContent = 'This page could not be loaded completely. Please reload it.';
  byId('status').dataset.phase = 'closed';
}
