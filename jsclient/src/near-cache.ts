import { LRUCache } from "lru-cache";
import type { EntryLifetime } from "./fallback.js";
import type { Position, Version } from "./gen/isrd/v1/entry_pb.js";
import type { Event } from "./gen/isrd/v1/session_pb.js";
import type { EntryKey } from "./key.js";

/** What the near cache must know of a value to keep it. */
export interface NearFill {
  readonly key: EntryKey;
  readonly version: Version;
  /** The place in the log that it was judged fresh at. */
  readonly asOf: Pick<Position, "epoch" | "seq">;
  /** The tags that are stored with it. */
  readonly tags: readonly string[];
  /** The tags of the reader, which were judged too. */
  readonly softTags: readonly string[];
  readonly lifetime: EntryLifetime;
  /** What the value takes in memory, roughly. */
  readonly bytes: number;
  /** When it was written, by this cache's clock. */
  readonly bornAt: number;
  /** The cache's `turn` when it was asked for, or what `begin` returned. */
  readonly turn: number;
}

/** What the near cache has of a key: Next.js's own value, not a copy. */
export interface NearEntry {
  readonly value: object | null;
  readonly version: Version;
  readonly tags: readonly string[];
  readonly lifetime: EntryLifetime;
  readonly bytes: number;
  readonly bornAt: number;
}

interface Kept extends NearEntry {
  /** From then on it is stale, or may not be served at all. */
  readonly freshUntil: number;
  /** Everything it was judged by: its tags, the soft tags of its readers, and the name that stands for its key. */
  readonly names: ReadonlySet<string>;
}

/** What an entry costs beside its value, and what each name by which it can be found adds. */
const ENTRY_OVERHEAD_BYTES = 512;
const NAME_OVERHEAD_BYTES = 96;

/** Readers with ever new soft tags must not make an entry grow without end. */
const MAX_NAMES = 512;

/**
 * Entries that are known to be fresh, in the memory of this process. Bounded in bytes. It drops what an event of the log
 * touches at once, and judges nothing itself: whether it may be used at all, its owner must know (see Following).
 *
 * An answer is kept only if nothing of what it was judged by has had an event since. Several frames may be read in one
 * turn before the caller of a get goes on, so that events are remembered for a while:
 *
 *     frame 1: the answer of a get, judged at 41     (its caller goes on later)
 *     frame 2: an event at 42 for its tag            (nothing is there yet that could be dropped)
 *     the caller fills: 42 > 41, so it is not kept
 */
export class NearCache {
  readonly #entries: LRUCache<string, Kept> | undefined;
  readonly #maxBytes: number;
  readonly #hashOf: (key: EntryKey) => string;
  readonly #now: () => number;
  readonly #byName = new Map<string, Set<string>>();
  readonly #writes = new Newest<number>(0);
  /** Of which history of the log the events are; fills of another are not kept. */
  #epoch: bigint | undefined;
  #events = new Newest<bigint>(0n);
  #turn = 0;

  /** With `maxBytes` 0 nothing is kept. `hashOf` names a key as events do. The clock counts milliseconds, never jumps. */
  constructor(options: { maxBytes: number; hashOf: (key: EntryKey) => string; now?: () => number }) {
    const { maxBytes, hashOf, now = () => performance.now() } = options;
    this.#maxBytes = maxBytes;
    this.#hashOf = hashOf;
    this.#now = now;
    const dispose = ({ names }: Kept, id: string): void => this.#unlist(id, names);
    this.#entries = maxBytes > 0 ? new LRUCache({ maxSize: maxBytes, dispose }) : undefined;
  }

  /** How many entries it holds. */
  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /** What they take, roughly. */
  get bytes(): number {
    return this.#entries?.calculatedSize ?? 0;
  }

  /** Grows with every write of this process. */
  get turn(): number {
    return this.#turn;
  }

  now(): number {
    return this.#now();
  }

  /** The entry of a key, if it is fresh for a reader with these soft tags. */
  get(key: EntryKey, softTags: readonly string[]): NearEntry | undefined {
    const entry = this.#entries?.get(nameOf(key));
    if (!entry || this.#now() >= entry.freshUntil) return undefined;
    for (const tag of softTags) if (!entry.names.has(tag)) return undefined;
    return entry;
  }

  /** The entry of a key, fresh or not: only the daemon can say what it is worth. */
  held(key: EntryKey): NearEntry | undefined {
    return this.#entries?.get(nameOf(key));
  }

  /** A write of this key begins: what was there before is not served any more, nor kept if it is still to come. */
  begin(key: EntryKey): number {
    this.#turn += 1;
    this.#writes.mark(nameOf(key), this.#turn);
    this.#entries?.delete(nameOf(key));
    return this.#turn;
  }

  /** Keeps a value, unless it has been overtaken: by an event, by a write of this process, or by a newer version. */
  fill(fill: NearFill, value: object | null): void {
    const { key, version, asOf, tags, softTags, lifetime, bytes, bornAt, turn } = fill;
    if (!this.#entries || asOf.epoch !== this.#epoch) return;
    const id = nameOf(key);
    const names = new Set([...tags, ...softTags, hashName(this.#hashOf(key))]);
    if (this.#writes.since(id, turn)) return;
    for (const name of names) if (this.#events.since(name, asOf.seq)) return;
    const earlier = this.#entries.peek(id);
    const order = earlier ? compare(earlier.version, version) : -1;
    if (order > 0) return;
    // The same version for another reader: no event has come since, so that what it was judged by before still holds.
    if (earlier && order === 0 && names.size + earlier.names.size <= MAX_NAMES)
      for (const name of earlier.names) names.add(name);
    const { revalidate = Number.POSITIVE_INFINITY, expire = Number.POSITIVE_INFINITY } = lifetime;
    const freshUntil = bornAt + Math.min(revalidate, expire) * 1000;
    this.#put(id, { value, version, tags, lifetime, bytes, bornAt, freshUntil, names });
  }

  /** Drops all entries that were judged by one of these tags. */
  forget(tags: Iterable<string>): void {
    for (const tag of tags) {
      for (const id of this.#byName.get(tag) ?? []) this.#entries?.delete(id);
    }
  }

  /** Events of the log, in its order: drops what they touch. */
  apply(events: readonly Event[]): void {
    for (const { position, marks, keyHashes } of events) {
      if (!position) {
        this.reset(undefined);
        continue;
      }
      this.reached(position);
      const names = marks.map(({ tag }) => tag);
      for (const hash of keyHashes) names.push(hashName(Buffer.from(hash).toString("hex")));
      for (const name of names) this.#events.mark(name, position.seq);
      this.forget(names);
    }
  }

  /** The log is at this position. Of another history nothing is known that could judge what is held. */
  reached(position: Position): void {
    if (position.epoch !== this.#epoch) this.reset(position);
  }

  /** Forgets everything. Fills judged before this position are not kept; without one, none are until the next. */
  reset(position: Position | undefined): void {
    this.#byName.clear();
    this.#entries?.clear();
    this.#epoch = position?.epoch;
    this.#events = new Newest<bigint>(position?.seq ?? 0n);
  }

  #put(id: string, entry: Kept): void {
    let size = entry.bytes + ENTRY_OVERHEAD_BYTES + 2 * id.length;
    for (const name of entry.names) size += NAME_OVERHEAD_BYTES + 2 * name.length;
    this.#entries?.delete(id);
    if (size > this.#maxBytes) return;
    this.#entries?.set(id, entry, { size });
    for (const name of entry.names) {
      const ids = this.#byName.get(name);
      if (ids) ids.add(id);
      else this.#byName.set(name, new Set([id]));
    }
  }

  #unlist(id: string, names: ReadonlySet<string>): void {
    for (const name of names) {
      const ids = this.#byName.get(name);
      if (ids?.delete(id) && ids.size === 0) this.#byName.delete(name);
    }
  }
}

const MAX_REMEMBERED = 10_000;

/** The newest mark of each name. Of those that it had to forget it only knows that they were not after `floor`. */
class Newest<N extends bigint | number> {
  readonly #marks = new Map<string, N>();
  #floor: N;

  constructor(floor: N) {
    this.#floor = floor;
  }

  /** Marks must come in order. */
  mark(name: string, at: N): void {
    this.#marks.delete(name);
    this.#marks.set(name, at);
    const [oldest] = this.#marks;
    if (!oldest || this.#marks.size <= MAX_REMEMBERED) return;
    this.#marks.delete(oldest[0]);
    this.#floor = oldest[1];
  }

  /** Whether the name may have been marked after this. */
  since(name: string, at: N): boolean {
    return at < this.#floor || (this.#marks.get(name) ?? at) > at;
  }
}

function compare(a: Version, b: Version): number {
  for (const field of ["epoch", "seq", "token"] as const) {
    if (a[field] !== b[field]) return a[field] < b[field] ? -1 : 1;
  }
  return 0;
}

function nameOf({ space, name }: EntryKey): string {
  return `${space}:${name}`;
}

/** No tag of Next.js begins with a NUL. */
function hashName(hash: string): string {
  return `\0${hash}`;
}
