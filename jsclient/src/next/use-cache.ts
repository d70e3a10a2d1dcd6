import type { EntryLifetime } from "../fallback.js";
import { Reason, Status } from "../gen/isrd/v1/cache_pb.js";

/** What `'use cache'` keeps, but for the stream of its value. Times are Next.js's: seconds, and the clock of `hostNow`. */
export interface CachedMeta {
  /** The tags of `cacheTag`, and others that only Next.js understands: kept as they are. */
  readonly tags: readonly string[];
  /** Seconds for which a browser may use it without asking. */
  readonly stale: number;
  /** When its render began, in milliseconds with a fraction. */
  readonly timestamp: number;
  readonly expire: number;
  readonly revalidate: number;
}

/** An entry as Next.js gives and takes it. Its stream can be read once, and may fail. */
export interface HostCacheEntry extends CachedMeta {
  readonly value: ReadableStream<Uint8Array>;
  readonly tags: string[];
}

/** An entry as it is kept. */
export interface CachedValue extends CachedMeta {
  readonly bytes: Uint8Array;
}

/** What was found, as far as telling Next.js depends on it. */
export interface CachedFinding {
  readonly status: Status;
  readonly reason: Reason;
  readonly ageMs: number;
}

/** Time for Next.js to compare with its clock. */
const MARGIN_MS = 250;

/** Two clocks that are no further apart are taken for one. */
const SAME_CLOCK_MS = 1000;

/**
 * The lifetime that a result is told to have that is stale by a tag, and older than that. A page of another request may join
 * the read of it, and is good for as long; for less than a second Next.js answers 500.
 */
const MOMENT_SECONDS = 1;

/** What expires sooner, Next.js 16 keeps out of shells. */
const LONG_SECONDS = 300;

/** Next.js's own for ever. */
const FOREVER_SECONDS = 0xffff_fffe;

/**
 * A time before which nothing is. Next.js 16.4 keeps what a request has read until the request ends, and gives it to functions
 * that the request calls later, without asking and also if it is stale; but nothing that is of this time or older.
 */
const NOT_TO_KEEP = 0;

const MAX_SECONDS = 0xffff_ffff;

/**
 * The lifetime by which the daemon judges, in whole seconds; undefined if the entry is not to be kept: Next.js would never
 * serve it. What Next.js reads from the entry is kept beside it, to the digit.
 */
export function cachedLifetimeOf({ revalidate, expire }: CachedMeta): EntryLifetime | undefined {
  if (!(expire > 0)) return undefined;
  return { revalidate: wholeSeconds(revalidate), expire: wholeSeconds(expire) };
}

function wholeSeconds(seconds: number): number {
  return Math.min(MAX_SECONDS, Math.max(0, Math.ceil(seconds) || 0));
}

/**
 * Tells Next.js what was found, so that its own judgement comes out the same. It judges by the entry alone: stale is what
 * is older than `revalidate` by its clock, or has a negative one; older than `expire` is nothing.
 *
 * What is stale is never told fresh, whoever regenerates it: it would be baked into a new page. Lifetimes stay as they
 * are, because the page's follow from them.
 */
export function tellCached(value: CachedValue, finding: CachedFinding, now: number): HostCacheEntry {
  const { bytes, ...meta } = value;
  const { revalidate, expire } = meta;
  let timestamp = timestampOf(value, finding, now);
  if (finding.status === Status.HIT) {
    timestamp = Math.max(timestamp, now - withMargin(Math.min(revalidate, expire)));
    return { ...meta, tags: [...meta.tags], timestamp, value: streamOf(bytes) };
  }
  const byTag = finding.reason === Reason.TAG_STALE || finding.ageMs < revalidate * 1000;
  if (byTag && expire >= LONG_SECONDS) {
    const lifetime = { timestamp: NOT_TO_KEEP, revalidate: MOMENT_SECONDS, expire: FOREVER_SECONDS };
    return { ...meta, tags: [...meta.tags], ...lifetime, value: streamOf(bytes) };
  }
  const told = !byTag ? revalidate : expire >= 2 * MOMENT_SECONDS ? MOMENT_SECONDS : -1;
  if (told >= 0) timestamp = Math.min(timestamp, now - told * 1000 - MARGIN_MS);
  timestamp = Math.max(timestamp, now - withMargin(expire));
  return { ...meta, tags: [...meta.tags], timestamp, revalidate: told, value: streamOf(bytes) };
}

/** The entry's own time where the clock that it was taken from agrees with this one, else a time that is as long ago. */
function timestampOf({ timestamp }: CachedValue, { ageMs }: CachedFinding, now: number): number {
  const byAge = now - ageMs;
  return Math.abs(timestamp - byAge) <= SAME_CLOCK_MS ? timestamp : byAge;
}

function withMargin(seconds: number): number {
  return Math.max(0, seconds * 1000 - MARGIN_MS);
}

/** A stream of its own for each reader, over the same bytes. */
function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}
