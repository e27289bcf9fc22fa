// The one connection to the server: connecting, saying hello, requests with answers, and in which
// phase it all is. Knows nothing of rooms; chat.js and outbox.js stand on it.

import { Emitter } from './emitter.js';

/** A request that is not answered within this is given up; where nothing else came meanwhile, so is the connection. */
const ANSWER_WITHIN_MS = 10_000;
/** Packets that a server reads per second which does not say how many. */
const USUAL_RATE = 50;
const SILENT = { code: 'silent', message: 'the server does not answer', reconnect: true };
const ROOM_EVENTS = ['message', 'people', 'typing'];
const DIRECT_EVENTS = ['direct', 'delivered', 'read'];
const TOKEN_REFUSED = ['token_expired', 'token_invalid', 'no_tokens'];

/** A request that was refused, or whose answer never came. `retry`: it may succeed later as it is. */
export class RequestError extends Error {
  constructor({ code, message, retry }) {
    super(message);
    this.code = code;
    this.retry = retry;
  }
}

/**
 * Emits `phase` (phase, goodbye), `ready` (rooms can be joined on a new connection), `lost`,
 * `named` (name) and `refused` (name, error) after each hello, `signed-out` (error) when the token was refused, and
 * the server's events.
 *
 * Phases: `idle`, `connecting`, `online`, `reconnecting`, `offline` (the browser says so),
 * `closed` (the server wants no reconnection).
 */
export class Connection extends Emitter {
  #socket;
  #goodbye = null;
  #wasOnline = false;
  #reopening = null;
  /** When something last came from the server, as `performance.now()` counts. */
  #heard = 0;

  phase = 'idle';
  /** Empty while the token may know it. */
  name = null;
  token;
  /** Who the token says we are, null for nobody; undefined until the server has said it. */
  user;
  id = null;
  maxText = Infinity;
  /** Packets that the server reads per second; null for no limit. */
  rate = USUAL_RATE;

  /** `token` is what the application gave, or null. */
  constructor(io, token) {
    super();
    this.token = token;
    this.user = token === null ? null : undefined;
    this.#socket = io('/chat', { autoConnect: false, reconnectionDelay: 400, reconnectionDelayMax: 5_000, timeout: 10_000 });
    this.#socket.on('connect', () => this.#greet());
    this.#socket.on('disconnect', () => this.#lost());
    this.#socket.on('connect_error', () => this.#notConnected());
    this.#socket.on('goodbye', (goodbye) => (this.#goodbye = goodbye));
    for (const event of ROOM_EVENTS) {
      this.#socket.on(event, (payload) => {
        this.#heard = performance.now();
        this.emit(event, payload);
      });
    }
    for (const event of DIRECT_EVENTS) {
      this.#socket.on(event, (payload, acknowledge) => {
        this.#heard = performance.now();
        this.emit(event, payload);
        // From here on the message is ours to keep.
        acknowledge?.();
      });
    }
    window.addEventListener('online', () => this.#retryNow());
    window.addEventListener('offline', () => this.#notConnected());
  }

  get ready() {
    return this.phase === 'online';
  }

  /** Connects under this name, or is called so from now on; `named` or `refused` says what came of it. */
  async introduce(name) {
    if (this.ready) {
      try {
        this.#called(await this.#hello(name));
      } catch (error) {
        if (!this.#signedOut(error)) this.emit('refused', name, error);
      }
      return;
    }
    this.name = name;
    if (this.#socket.connected) await this.#greet();
    else this.reopen();
  }

  /** Connects now, whatever ended the connection before. */
  reopen() {
    clearTimeout(this.#reopening);
    this.#goodbye = null;
    this.#socket.connect();
    this.#notConnected();
  }

  /** Sends a request and gives its answer; throws a RequestError. Nothing is sent while disconnected. */
  async request(event, payload) {
    const asked = performance.now();
    const { id } = this.#socket;
    let answer;
    try {
      if (!this.#socket.connected) throw new Error('not connected');
      answer = await this.#socket.timeout(ANSWER_WITHIN_MS).emitWithAck(event, payload);
      this.#heard = performance.now();
    } catch {
      if (this.#socket.connected && this.#socket.id === id && this.#heard <= asked) this.#fellSilent();
      throw new RequestError({ code: 'no_answer', message: 'the server did not answer', retry: true });
    }
    if (answer?.ok) return answer;
    throw new RequestError(answer?.error ?? { code: 'bad_answer', message: 'the answer was not understood', retry: false });
  }

  /** A network that died says nothing: the connection is given up, and another one is tried. */
  #fellSilent() {
    this.#goodbye = SILENT;
    this.#socket.disconnect();
  }

  #hello(name) {
    return this.request('hello', { name: name || undefined, token: this.token ?? undefined });
  }

  /** Goes on without the token if that is what was refused. */
  #signedOut(error) {
    if (this.token === null || !TOKEN_REFUSED.includes(error.code)) return false;
    this.token = null;
    this.emit('signed-out', error);
    return true;
  }

  async #greet() {
    const { name } = this;
    if (name === null) return;
    try {
      this.#called(await this.#hello(name));
    } catch (error) {
      if (this.#signedOut(error)) {
        await this.#greet();
      } else if (error.retry) {
        if (this.#socket.connected) this.#socket.disconnect();
      } else {
        this.name = null;
        this.emit('refused', name, error);
      }
      return;
    }
    this.#goodbye = null;
    this.#wasOnline = true;
    this.#enter('online');
    this.emit('ready');
  }

  #called({ name, user, id, maxText, rate }) {
    this.name = name;
    this.user = user ?? null;
    this.id = id;
    this.maxText = maxText;
    this.rate = rate === undefined ? USUAL_RATE : rate;
    this.emit('named', name);
  }

  #lost() {
    this.emit('lost');
    if (this.#goodbye?.reconnect !== false) {
      this.#notConnected();
    } else if (this.#signedOut(this.#goodbye)) {
      this.reopen();
    } else {
      this.#socket.disconnect();
      this.#enter('closed');
    }
  }

  /** Says why there is no connection, and sees to it that there will be one. */
  #notConnected() {
    if (this.name === null || this.#socket.connected || this.#goodbye?.reconnect === false) return;
    // The client library tries again by itself except after the server (or we) ended the connection in words.
    if (!this.#socket.active) {
      clearTimeout(this.#reopening);
      this.#reopening = setTimeout(() => this.#socket.connect(), 500 + Math.random() * 1_500);
    }
    if (!navigator.onLine) this.#enter('offline');
    else this.#enter(this.#wasOnline ? 'reconnecting' : 'connecting');
  }

  #retryNow() {
    if (this.name === null || this.#socket.connected || this.phase === 'closed') return;
    // Starts the attempts afresh: the next one may be seconds away.
    this.#socket.disconnect();
    this.reopen();
  }

  #enter(phase) {
    this.phase = phase;
    this.emit('phase', phase, this.#goodbye);
  }
}
