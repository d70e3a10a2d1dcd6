const MIN_MS = 50;
const MAX_MS = 1000;
/** A daemon that says no will say no again; somebody must change a setting first. */
const LASTING_MAX_MS = 10_000;
/** After a connection that was good; keeps the replicas of a node from coming back in the same millisecond. */
const RECONNECT_JITTER_MS = 50;

/** How long to wait before the next attempt to connect: longer with each failure, and never the same for two processes. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** `random` returns a number between 0 and 1. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** The connection is good, or was until now. */
  reset(): void {
    this.#failures = 0;
  }

  /** In milliseconds, after a connection that was good. */
  reconnectMs(): number {
    return this.#random() * RECONNECT_JITTER_MS;
  }

  /** In milliseconds, after one more failure; a lasting one would be the same for long. */
  failedMs(lasting: boolean): number {
    this.#failures += 1;
    return this.#random() * Math.min(lasting ? LASTING_MAX_MS : MAX_MS, MIN_MS * 2 ** Math.min(this.#failures, 16));
  }
}
