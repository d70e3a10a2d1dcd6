import type { EntryKey } from "./key.js";

/** The right to fill a key, for as long as somebody in this process means to. */
export interface Lease {
  readonly key: EntryKey;
  /** 0 once it is known to be lost. Changes when a session that broke is continued, so it is read when it is sent. */
  token: bigint;
  /** Nobody will fill it any more: it was used, given back, or forgotten. */
  end(): void;
  readonly open: boolean;
}

/** No lease is renewed for longer (the daemon's --lease-max). */
const LIFE_MS = 120_000;
const MAX_LEASES = 10_000;

/** The leases that this process holds, to claim them again when its session breaks. Bounded: the oldest are forgotten. */
export class Leases {
  readonly #open = new Map<Lease, number>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The daemon has granted a lease; 0 is none. */
  grant(key: EntryKey, token: bigint): Lease | undefined {
    if (token === 0n) return undefined;
    const open = this.#open;
    const lease: Lease = {
      key,
      token,
      end: () => void open.delete(lease),
      get open() {
        return open.has(lease);
      },
    };
    open.set(lease, this.#now());
    this.#forgetOld();
    return lease;
  }

  /** Those that are still to be filled. */
  claims(): Lease[] {
    this.#forgetOld();
    return [...this.#open.keys()].filter(({ token }) => token !== 0n);
  }

  #forgetOld(): void {
    const oldest = this.#now() - LIFE_MS;
    for (const [lease, grantedAt] of this.#open) {
      if (grantedAt >= oldest && this.#open.size <= MAX_LEASES) return;
      this.#open.delete(lease);
    }
  }
}
