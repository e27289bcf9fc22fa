// The rooms that are joined: joining them (again, from the last message shown), leaving them, their
// events and their unread counts. Speaks through connection.js; the views listen to it. Conversations with
// single people are among its rooms; what is different about them is in direct.js.

import { Conversation, isKey } from './conversation.js';
import { Directs } from './direct.js';
import { Emitter } from './emitter.js';
import { Room } from './room.js';
import { storage } from './storage.js';

const JOIN_AGAIN_MS = 2_000;
const HISTORY_PAGE = 60;

/**
 * Emits `rooms` (set of rooms, their unread counts), `active` (room or null), `messages`, `people` and
 * `typing` (room), `arrived` (room, message), `joined` (room), `left` (room name), `problem` (text parts).
 */
export class Chat extends Emitter {
  #connection;
  #read = storage.read;

  rooms = new Map();
  active = null;
  directs;

  constructor(connection) {
    super();
    this.#connection = connection;
    connection.on('ready', () => this.#joinAll());
    connection.on('lost', () => this.#allOut());
    for (const event of ['message', 'people', 'typing']) {
      connection.on(event, (payload) => this.#receive(event, payload));
    }
    this.directs = new Directs(connection, this);
    for (const name of storage.rooms) this.add(name);
  }

  /** Shows a room, joining it if it is not. */
  open(name) {
    const room = this.rooms.get(name) ?? this.add(name);
    if (room !== this.active) {
      this.active = room;
      this.emit('active', room);
    }
    this.#join(room);
    return room;
  }

  leave(name) {
    const room = this.rooms.get(name);
    if (!room) return;
    this.#remove(room);
    // Unanswered is fine: a connection that is lost has left every room.
    if (room.state !== 'out') this.#connection.request('leave', { room: name }).catch(() => {});
  }

  markRead(room) {
    if (room.isDirect) {
      this.directs.markRead(room);
      return;
    }
    const before = room.readId;
    if (room.unread === 0 && before === room.newest?.id) return;
    room.markRead();
    if (room.readId !== before) {
      this.#read.set(room.name, room.readId);
      storage.read = this.#read;
    }
    this.emit('rooms');
  }

  /** Loads a page of older messages; throws a RequestError. */
  async loadOlder(room) {
    if (room.isDirect) {
      await this.directs.loadOlder(room);
      return;
    }
    const { generation, oldest } = room;
    const { messages, more } = await this.#connection.request('history', { room: room.name, before: oldest.id, limit: HISTORY_PAGE });
    // Replaced or trimmed meanwhile: the page would not fit.
    if (room.generation === generation && room.oldest === oldest) room.prepend(messages, more);
  }

  /** The rooms that exist on the server. */
  async listRooms() {
    return (await this.#connection.request('rooms', {})).rooms;
  }

  /** A room, or a conversation, that was not here. */
  add(name) {
    const room = isKey(name) ? new Conversation(name) : new Room(name);
    room.readId = this.#read.get(name) ?? null;
    this.rooms.set(name, room);
    this.#roomsChanged();
    return room;
  }

  /** Is without a room from now on, and says why if there is something to say. */
  drop(room, problem) {
    this.#remove(room);
    if (problem) this.emit('problem', problem);
  }

  /** A room's messages were loaded. */
  shown(room) {
    this.emit('people', room);
    this.emit('messages', room);
    this.emit('joined', room);
    this.emit('rooms');
  }

  /** A message came for a room, and has its place there. */
  arrived(room, message) {
    this.emit('arrived', room, message);
    this.emit('messages', room);
  }

  #remove(room) {
    this.rooms.delete(room.name);
    room.nobodyTypes();
    this.#read.delete(room.name);
    storage.read = this.#read;
    if (this.active === room) {
      this.active = [...this.rooms.values()].findLast(({ isDirect }) => !isDirect) ?? null;
      this.emit('active', this.active);
    }
    this.#roomsChanged();
    this.emit('left', room.name);
  }

  #roomsChanged() {
    storage.rooms = [...this.rooms.keys()].filter((name) => !isKey(name));
    this.emit('rooms');
  }

  #joinAll() {
    if (this.active) this.#join(this.active);
    for (const room of this.rooms.values()) if (!room.isDirect) this.#join(room);
  }

  async #join(room) {
    if (room.isDirect) {
      await this.directs.join(room);
      return;
    }
    if (room.state !== 'out' || !this.#connection.ready) return;
    room.state = 'joining';
    const after = room.newest?.id;
    let answer;
    try {
      answer = await this.#connection.request('join', after === undefined ? { room: room.name } : { room: room.name, after });
    } catch (error) {
      this.#notJoined(room, error);
      return;
    }
    if (this.rooms.get(room.name) !== room) return;
    if (answer.room !== room.name) this.#rename(room, answer.room);
    if (answer.reset) room.clear();
    room.state = 'joined';
    room.peopleAre(answer);
    for (const [event, payload] of room.held.splice(0)) this.#apply(room, event, payload);
    this.emit('people', room);
    this.emit('messages', room);
    this.emit('joined', room);
  }

  #notJoined(room, error) {
    room.state = 'out';
    room.held = [];
    if (this.rooms.get(room.name) !== room) return;
    if (error.retry) {
      setTimeout(() => this.rooms.get(room.name) === room && this.#join(room), JOIN_AGAIN_MS);
      return;
    }
    this.#remove(room);
    this.emit('problem', ['The room ', { name: room.name }, ` cannot be joined: ${error.message}`]);
  }

  /** The server knows the room by another spelling. */
  #rename(room, name) {
    const wasActive = this.active === room;
    this.rooms.delete(room.name);
    room.name = name;
    this.rooms.set(name, room);
    this.#roomsChanged();
    if (wasActive) this.emit('active', room);
  }

  #allOut() {
    for (const room of this.rooms.values()) {
      room.state = 'out';
      // Not shown yet, so what follows the last one shown brings them again.
      room.held = [];
      room.nobodyTypes();
      this.emit('typing', room);
    }
  }

  #receive(event, payload) {
    const room = this.rooms.get(payload?.room);
    if (!room || room.state === 'out') return;
    if (room.state === 'joining') room.held.push([event, payload]);
    else this.#apply(room, event, payload);
  }

  #apply(room, event, payload) {
    if (event === 'message') {
      if (!room.append(payload, payload.author !== this.#connection.name)) return;
      if (room !== this.active) room.trim();
      this.arrived(room, payload);
      if (room.unread) this.emit('rooms');
    } else if (event === 'people') {
      room.peopleChanged(payload);
      this.emit('people', room);
      this.emit('typing', room);
    } else if (payload.id !== this.#connection.id) {
      room.typing(payload, () => this.emit('typing', room));
      this.emit('typing', room);
    }
  }
}
