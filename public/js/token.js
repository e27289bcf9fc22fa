// The token with which an application says who its user is: it comes in the address, `#token=…` (and `&room=…`), leaves
// the address at once, and is remembered for this tab only.

import { storage } from './storage.js';

/** Takes a token out of the address, if there is one, and gives the one that is known; null for none. */
export function takeToken() {
  const { hash, pathname, search } = location;
  if (hash.startsWith('#token=')) {
    const given = new URLSearchParams(hash.slice(1));
    const room = given.get('room');
    // The address is copied, bookmarked, photographed: the token must not stay in it, nor in the history.
    history.replaceState(null, '', pathname + search + (room ? `#${encodeURIComponent(room)}` : ''));
    const token = given.get('token') || null;
    // What was written before the server said whose the last token was is nobody's from now on.
    if (token !== storage.token) storage.outbox = storage.outbox.filter(({ user }) => user !== undefined);
    storage.token = token;
  }
  return storage.token;
}

export function forgetToken() {
  storage.token = null;
}
