// How fast the page sends: a little slower than the server reads from one connection, so that nothing piles up there and the
// server never takes the page for one that floods.

/** The part of the rate that is used: the rest is for what is sent besides. */
const USED = 0.8;

/** What may be saved up, in packets: a page in the background is woken once a second. */
const SAVED_UP = 16;

export class Pace {
  #perMs = Infinity;
  #saved = 1;
  #since = 0;

  /** `perSecond` is what the server reads, in packets; null for no limit. */
  set rate(perSecond) {
    this.#perMs = perSecond === null ? Infinity : (perSecond * USED) / 1_000;
    this.#saved = 1;
  }

  /** Milliseconds until the next packet may go out, 0 for now; `now` in ms counts from anywhere. */
  wait(now) {
    if (this.#perMs === Infinity) return 0;
    this.#saved = Math.min(SAVED_UP, this.#saved + (now - this.#since) * this.#perMs);
    this.#since = now;
    return this.#saved >= 1 ? 0 : Math.ceil((1 - this.#saved) / this.#perMs);
  }

  /** A packet goes out. */
  spend() {
    this.#saved -= 1;
  }

  /** Packets that are answered within two seconds although none goes out faster. */
  get twoSeconds() {
    return Math.max(1, Math.floor(this.#perMs * 2_000));
  }
}
