import { BLOCKED_MS } from "./deadline.js";

/** What a heartbeat needs of its connection. */
export interface HeartbeatOptions {
  readonly intervalMs: number;
  /** How long an answer may take. */
  readonly timeoutMs: number;
  /** Sends a ping and returns its id; undefined if it could not be sent. */
  readonly ping: () => bigint | undefined;
  /** When the last frame arrived. */
  readonly heardAt: () => number;
  /** The peer has answered no ping, and said nothing else either. */
  readonly silent: () => void;
  /** Counts milliseconds, never jumps. @default performance.now */
  readonly now?: () => number;
}

/** A daemon that collects its garbage or waits for its turn is not a silent one, however short the interval. */
const MIN_SILENCE_MS = 1000;

/**
 * Sends pings, one at a time, and watches for a peer that answers none. Never keeps the process alive. Between two calls
 * of `silent` there is at least one frame.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  /** When this thread last looked. */
  #lookedAt: number;
  /** The ping that is not yet answered. */
  #open: { readonly id: bigint; readonly sentAt: number } | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#lookedAt = this.#now();
    this.#timer = setInterval(() => this.#beat(), options.intervalMs).unref();
  }

  /** The answer with this id is here. Returns when its ping was sent; undefined if it is not the one that is open. */
  answered(id: bigint): number | undefined {
    if (this.#open?.id !== id) return undefined;
    const { sentAt } = this.#open;
    this.#open = undefined;
    return sentAt;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const { intervalMs, timeoutMs, heardAt, silent } = this.#options;
    const now = this.#now();
    const blocked = now - this.#lookedAt > intervalMs + BLOCKED_MS;
    this.#lookedAt = now;
    if (!this.#open) {
      const id = this.#options.ping();
      if (id !== undefined) this.#open = { id, sentAt: now };
      return;
    }
    const seen = heardAt();
    const silenceMs = Math.max(2 * intervalMs, MIN_SILENCE_MS) + timeoutMs;
    if (blocked || now - Math.max(seen, this.#open.sentAt) < silenceMs) return;
    setImmediate(() => {
      if (heardAt() === seen) silent();
    });
  }
}
