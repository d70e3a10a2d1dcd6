/** One tag to mark. `expireSeconds` absent: entries with the tag expire at once. */
export interface TagMark {
  readonly tag: string;
  readonly expireSeconds?: number;
}

interface Pending {
  readonly expiresAt: number | undefined;
  readonly serial: number;
}

/** Marks that were taken together, and what they looked like then. */
export interface Batch {
  readonly marks: readonly TagMark[];
  readonly serials: ReadonlyMap<string, number>;
}

/** More tags than this are not remembered while the daemon is away; what is lost is said in the log. */
export const MAX_TAGS = 10_000;

const BATCH_TAGS = 256;

/**
 * The revalidations that no daemon has acknowledged yet: one mark per tag, the strongest. Bounded, in memory. Marking a
 * tag twice does no harm, so a mark stays until it is acknowledged, however often it was sent.
 */
export class Outbox {
  readonly #pending = new Map<string, Pending>();
  readonly #now: () => number;
  #serial = 0;

  /** The clock counts milliseconds and never jumps. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Remembers marks. Returns how many found no room. */
  add(marks: readonly TagMark[]): number {
    let lost = 0;
    for (const { tag, expireSeconds } of marks) {
      const known = this.#pending.get(tag);
      if (!known && this.#pending.size >= MAX_TAGS) {
        lost += 1;
        continue;
      }
      const expiresAt = expireSeconds === undefined ? undefined : this.#now() + expireSeconds * 1000;
      this.#serial += 1;
      this.#pending.set(tag, {
        expiresAt: known ? earliest(known.expiresAt, expiresAt) : expiresAt,
        serial: this.#serial,
      });
    }
    return lost;
  }

  /** The next marks to send, of these tags or of all; none if there is nothing to do. */
  take(tags: Iterable<string> = this.#pending.keys()): Batch {
    const marks: TagMark[] = [];
    const serials = new Map<string, number>();
    for (const tag of tags) {
      const pending = this.#pending.get(tag);
      if (!pending) continue;
      if (marks.length >= BATCH_TAGS) break;
      serials.set(tag, pending.serial);
      marks.push(pending.expiresAt === undefined ? { tag } : { tag, expireSeconds: this.#left(pending.expiresAt) });
    }
    return { marks, serials };
  }

  /** The batch was acknowledged: forgets its marks, but for those that were made again since it was taken. */
  settle(batch: Batch): void {
    for (const [tag, serial] of batch.serials) {
      if (this.#pending.get(tag)?.serial === serial) this.#pending.delete(tag);
    }
  }

  /** What is left of an expiry that began to run when the mark was made, in whole seconds. */
  #left(expiresAt: number): number {
    return Math.max(0, Math.ceil((expiresAt - this.#now()) / 1000));
  }
}

/** "At once" is earlier than any time. */
function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.min(a, b);
}
