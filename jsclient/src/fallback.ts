import { LRUCache } from "lru-cache";
import { type EntryKey, idOf } from "./key.js";
import type { TagMark } from "./outbox.js";

/** How long an entry lives, in seconds. `revalidate` absent: never stale; `expire` absent: no limit. */
export interface EntryLifetime {
  readonly revalidate?: number;
  readonly expire?: number;
}

/** An entry of the fallback: Next.js's own value, not a copy. */
export interface FallbackEntry {
  readonly value: object | null;
  readonly tags: readonly string[];
  readonly lifetime: EntryLifetime;
  /** Its size, roughly, in bytes. */
  readonly bytes: number;
  /** The number of revalidations that this process had seen when its render began. */
  readonly localSeq: number;
  /** How old its content is already. @default 0 */
  readonly ageMs?: number;
}

/** What the fallback has. */
export interface FallbackReading {
  readonly entry: FallbackEntry;
  readonly stale: boolean;
  readonly ageMs: number;
}

interface Kept extends FallbackEntry {
  readonly keptAt: number;
}

interface Mark {
  readonly seq: number;
  /** From when on entries with the tag have expired; until then they are stale. */
  readonly expiresAt: number;
}

/** More tags than this make the fallback forget all its entries instead: it must not serve what it cannot judge. */
const MAX_TAGS = 10_000;

/** What an entry costs beside its value. */
const ENTRY_OVERHEAD_BYTES = 512;

/**
 * The entries of this process alone, for while the daemon is away. Bounded in bytes. It is filled by this process's own
 * sets and judged by this process's own revalidations; what happens elsewhere it cannot know, so it is emptied when the
 * daemon is back.
 */
export class Fallback {
  readonly #entries: LRUCache<string, Kept> | undefined;
  readonly #maxBytes: number;
  readonly #marks = new Map<string, Mark>();
  readonly #now: () => number;
  #seq = 0;

  /** With `maxBytes` 0 nothing is kept. The clock counts milliseconds and never jumps. */
  constructor(maxBytes: number, now: () => number = () => performance.now()) {
    this.#maxBytes = maxBytes;
    this.#entries = maxBytes > 0 ? new LRUCache({ maxSize: maxBytes }) : undefined;
    this.#now = now;
  }

  /** How many revalidations this process has seen. */
  get seq(): number {
    return this.#seq;
  }

  /** How many entries it holds. */
  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /** Looks an entry up. Undefined if there is none that may be served to a reader with these soft tags. */
  get(key: EntryKey, softTags: readonly string[]): FallbackReading | undefined {
    const entry = this.#entries?.get(idOf(key));
    if (!entry) return undefined;
    const ageMs = this.#now() - entry.keptAt;
    const { revalidate, expire } = entry.lifetime;
    const judged = this.#judge(entry, softTags);
    if (judged === "expired" || (expire !== undefined && ageMs >= expire * 1000)) return undefined;
    return { entry, ageMs, stale: judged === "stale" || (revalidate !== undefined && ageMs >= revalidate * 1000) };
  }

  /** Keeps an entry, if it is not larger than the whole. */
  set(key: EntryKey, entry: FallbackEntry): void {
    const size = entry.bytes + ENTRY_OVERHEAD_BYTES;
    if (size > this.#maxBytes) this.#entries?.delete(idOf(key));
    else this.#entries?.set(idOf(key), { ...entry, keptAt: this.#now() - (entry.ageMs ?? 0) }, { size });
  }

  /** Judges entries by these marks from now on. */
  revalidate(marks: readonly TagMark[]): void {
    this.#seq += 1;
    for (const { tag, expireSeconds = 0 } of marks) {
      const expiresAt = this.#now() + expireSeconds * 1000;
      const earlier = this.#marks.get(tag);
      this.#marks.set(tag, { seq: this.#seq, expiresAt: Math.min(expiresAt, earlier?.expiresAt ?? expiresAt) });
    }
    if (this.#marks.size > MAX_TAGS) this.clear();
  }

  /** Forgets all entries, and with them the marks that judged them. */
  clear(): void {
    this.#entries?.clear();
    this.#marks.clear();
  }

  #judge(entry: Kept, softTags: readonly string[]): "fresh" | "stale" | "expired" {
    let stale = false;
    for (const tags of [entry.tags, softTags]) {
      for (const tag of tags) {
        const mark = this.#marks.get(tag);
        if (!mark || mark.seq <= entry.localSeq) continue;
        if (mark.expiresAt <= this.#now()) return "expired";
        stale = true;
      }
    }
    return stale ? "stale" : "fresh";
  }
}
