/**
 * Until when the daemon vouches for what this process holds: no revalidation is acknowledged anywhere in the fleet before
 * this process has heard of it, or this time is over. Counted from when the question was sent, which is before the daemon
 * can have made the promise.
 */
export class Vouching {
  readonly #now: () => number;
  #until = Number.NEGATIVE_INFINITY;

  /** The clock counts milliseconds, never jumps, and is the one of `sentAt`. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get holds(): boolean {
    return this.#now() < this.#until;
  }

  /** The daemon has answered a question that was sent at `sentAt`. What it says takes the place of what it said before. */
  renew(sentAt: number, validityMs: number): void {
    this.#until = sentAt + validityMs;
  }

  /** Nobody vouches any longer. */
  end(): void {
    this.#until = Number.NEGATIVE_INFINITY;
  }
}
