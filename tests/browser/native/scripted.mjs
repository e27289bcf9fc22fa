// A stand-in for the client library, in the page, whose answers the test writes: for what a real server
// does too rarely or too fast to be caught at it. In the page it is `window.script`.

import { Visitor } from './visitor.mjs';

/** A visitor named Ana in this room, whose server is the script. */
export function enterScripted(browser, url, room) {
  const prepare = (page) => page.route('**/socket.io/4/socket.io.js', (route) => route.fulfill({
    contentType: 'text/javascript',
    body: `(${scriptedClient})();`,
  }));
  return Visitor.enter(browser, url, 'Ana', { room, prepare });
}

function scriptedClient() {
  const listeners = new Map();
  const cuts = new Set();
  const fire = (event, payload) => listeners.get(event)?.(payload);
  let count = 0;

  const script = {
    /** Every request, as [event, payload]. */
    requests: [],
    /** What is answered; may be replaced, may be a promise. */
    answers: {
      hello: ({ name }) => ({ ok: true, id: 'ana', name, history: 25, maxText: 1_000 }),
      join: ({ room }) => ({ ok: true, room, people: [{ id: 'ana', name: 'Ana' }], guests: 0, total: 1 }),
      leave: () => ({ ok: true }),
      history: () => ({ ok: true, messages: [], more: false }),
      rooms: () => ({ ok: true, rooms: [] }),
      typing: () => ({ ok: true }),
    },
    fire,
    message(room, id, text, author = 'Ben') {
      count += 1;
      const time = new Date(Date.UTC(2026, 0, 1) + count * 1_000).toISOString();
      fire('message', { room, id, author, text, time, replica: 'r1' });
      return time;
    },
    /** Ends the connection without a word; the page comes back when `comeBack` is called. */
    cut() {
      socket.connected = false;
      for (const cut of cuts) cut(new Error('cut'));
      cuts.clear();
      fire('disconnect', 'transport close');
    },
    comeBack() {
      socket.connected = true;
      fire('connect');
    },
  };

  const socket = {
    connected: false,
    active: false,
    on: (event, listener) => listeners.set(event, listener),
    connect() {
      socket.active = true;
      queueMicrotask(script.comeBack);
    },
    disconnect() {
      socket.active = false;
      if (socket.connected) script.cut();
    },
    timeout: () => ({
      emitWithAck(event, payload) {
        script.requests.push([event, payload]);
        return Promise.race([script.answers[event](payload), new Promise((_, reject) => cuts.add(reject))]);
      },
    }),
  };

  window.script = script;
  window.io = () => socket;
}
