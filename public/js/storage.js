// What the browser remembers for us. Storage may be forbidden, full, or hold what another version
// of this page wrote: then the page works all the same and remembers nothing.

const PREFIX = 'handshaken.';

function area(kind) {
  try {
    return kind === 'tab' ? window.sessionStorage : window.localStorage;
  } catch {
    return null;
  }
}

function recall(kind, key) {
  try {
    return JSON.parse(area(kind)?.getItem(PREFIX + key) ?? 'null');
  } catch {
    return null;
  }
}

function remember(kind, key, value) {
  try {
    area(kind)?.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Forbidden or full: see above.
  }
}

const strings = (value) => (Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []);

export const storage = {
  get name() {
    const name = recall('browser', 'name');
    return typeof name === 'string' ? name : null;
  },
  set name(name) {
    remember('browser', 'name', name);
  },

  /** Who the application says we are; for this tab. */
  get token() {
    const token = recall('tab', 'token');
    return typeof token === 'string' ? token : null;
  },
  set token(token) {
    remember('tab', 'token', token);
  },

  /** The rooms that were joined, in the order in which they were. */
  get rooms() {
    return strings(recall('browser', 'rooms'));
  },
  set rooms(names) {
    remember('browser', 'rooms', names);
  },

  /** Per room, the id of the newest message that was read. */
  get read() {
    const read = recall('browser', 'read');
    if (read === null || typeof read !== 'object' || Array.isArray(read)) return new Map();
    return new Map(Object.entries(read));
  },
  set read(ids) {
    remember('browser', 'read', Object.fromEntries(ids));
  },

  /** Posts of this tab that the server has not acknowledged, each with its `user` (null for a guest) where that was known. */
  get outbox() {
    const posts = recall('tab', 'outbox');
    if (!Array.isArray(posts)) return [];
    return posts.filter((post) => [post?.key, post?.room, post?.text, post?.time, post?.user ?? ''].every((field) => typeof field === 'string'));
  },
  set outbox(posts) {
    remember('tab', 'outbox', posts);
  },
};
