import { collect, decodeCached, encodeCached } from "./cached-entry.js";
import type { Read } from "./calls.js";
import { within } from "./deadline.js";
import { IsrdError, messageOf } from "./errors.js";
import { Status } from "./gen/isrd/v1/cache_pb.js";
import { Space } from "./gen/isrd/v1/entry_pb.js";
import type { EntryKey } from "./key.js";
import { hostNow } from "./next/answer.js";
import { toMark } from "./next/lifetime.js";
import { type CachedValue, cachedLifetimeOf, type HostCacheEntry, tellCached } from "./next/use-cache.js";
import { placeOf } from "./order.js";
import type { Begin, ReadResult, Render } from "./renders.js";
import { guessedRuntime, type Runtime } from "./runtime.js";

/** No timestamp of Next.js; it is later than any. */
const NOW = Number.POSITIVE_INFINITY;

/**
 * How long the lease of a stale result waits for a set to begin. Nothing says whether one will: Next.js calls the function
 * in the background, but not for a shell that has a hole in its place, nor right after another call; and 16 begins its set
 * when the call is over. A call that takes longer than this goes on without the lease, which is of no use to it: whoever
 * finds the result stale calls as well, and whoever finds nothing waits for much less.
 */
const STALE_LEASE_MS = 10_000;

/**
 * What `cacheHandlers` do, on a process's runtime. No method rejects, and none waits longer than its deadlines: whatever
 * fails is a miss.
 */
export class UseCache {
  readonly #find: () => Runtime;
  readonly #staleLeaseMs: number;
  /** The sets that are under way in this process, by key. */
  readonly #setting = new Map<string, Promise<void>>();

  /** Given a way to find it, the runtime may become another while this lives. */
  constructor(runtime: Runtime | (() => Runtime), staleLeaseMs = STALE_LEASE_MS) {
    this.#staleLeaseMs = staleLeaseMs;
    this.#find = typeof runtime === "function" ? runtime : () => runtime;
  }

  get #runtime(): Runtime {
    return this.#find();
  }

  /** The entry of a key, or undefined: then Next.js calls the function, and set. */
  async get(name: string, softTags: readonly string[]): Promise<HostCacheEntry | undefined> {
    const { client, log } = this.#runtime;
    try {
      const settled = await this.#settled(name);
      return await this.#read(name, softTags, settled);
    } catch (error) {
      client.counters.unreadable += 1;
      log.warnSeldom("get", `a result of 'use cache' could not be read and is made anew: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Keeps an entry once it is complete. Until then, gets of its key in this process wait for it. */
  async set(name: string, pending: Promise<HostCacheEntry>): Promise<void> {
    this.#forgetRenders(name);
    const done = this.#write({ space: Space.USE_CACHE, name }, pending);
    this.#setting.set(name, done);
    await done;
    if (this.#setting.get(name) === done) this.#setting.delete(name);
  }

  /** Marks tags, as cacheHandler.revalidateTag does. */
  async updateTags(tags: readonly string[], durations?: { expire?: number }): Promise<void> {
    const { client, log } = this.#runtime;
    try {
      const mark = toMark(durations?.expire);
      await client.revalidate([...new Set(tags)].map((tag) => ({ tag, ...mark })));
    } catch (error) {
      log.warnSeldom("revalidate", `tags could not be revalidated: ${messageOf(error)}`);
    }
  }

  /** Waits until the set of a key that is under way has come to its end; not for ever. Returns whether none is. */
  #settled(name: string): Promise<boolean> {
    const setting = this.#setting.get(name);
    if (!setting) return Promise.resolve(true);
    const { dataWaitMs } = this.#runtime.session.limits;
    const late = (): IsrdError => new IsrdError("timeout", "a set takes longer than a get may wait");
    return within(setting, dataWaitMs, late).then(
      () => true,
      () => false,
    );
  }

  async #read(name: string, softTags: readonly string[], settled: boolean): Promise<HostCacheEntry | undefined> {
    const { client, scopes } = this.#runtime;
    const key: EntryKey = { space: Space.USE_CACHE, name };
    // Who has waited for a set of this process in vain need not wait for it once more, at the daemon.
    const read: Read = { key, softTags, onDemand: false, noLease: !settled, begin: client.begin() };
    const askedAt = performance.now();
    const answer = await client.get(read);
    if (answer.status === Status.STALE && answer.render) this.#limitLease(answer.render);
    if (answer.status === Status.MISS || !(answer.entry || answer.kept)) {
      if (answer.render) scopes.current(undefined)?.renders.add(answer.render);
      return undefined;
    }
    const value = answer.kept ? (answer.kept.value as CachedValue) : decodeCached(answer.entry as never);
    if (answer.fill) client.keepNear(answer.fill, value);
    const { position = answer.fill && placeOf(answer.fill.asOf), localSeq } = read.begin;
    const result: ReadResult = { key, askedAt, tags: value.tags, base: undefined, position, localSeq };
    if (answer.status === Status.HIT) scopes.current(undefined)?.inHand.read.push(result);
    return tellCached(value, answer, hostNow());
  }

  /** Gives the lease back in time, unless a set has begun. */
  #limitLease(render: Render): void {
    if (!render.lease) return;
    const { client } = this.#runtime;
    const timer = setTimeout(() => {
      if (!this.#setting.has(render.key.name)) client.goOnWithoutLease(render);
    }, this.#staleLeaseMs);
    timer.unref();
  }

  async #write(key: EntryKey, pending: Promise<HostCacheEntry>): Promise<void> {
    const { client, log, scopes } = this.#runtime;
    const inHand = scopes.current(undefined)?.inHand;
    let begin: Begin | undefined;
    try {
      const { value: stream, tags, stale, timestamp, expire, revalidate } = await pending;
      begin = { ...client.beganAt(timestamp - performance.timeOrigin), ...(inHand ? { inHand } : {}) };
      const meta = { tags: [...tags], stale, timestamp, expire, revalidate };
      const lifetime = cachedLifetimeOf(meta);
      if (!lifetime) return client.abandonKey(key, begin, true, meta.tags);
      const value: CachedValue = { ...meta, bytes: await collect(stream) };
      const ageMs = Math.max(0, Math.round(hostNow() - timestamp)) || 0;
      await client.set({ key, draft: encodeCached(value), value, lifetime, tags: meta.tags, begin, ageMs });
    } catch (error) {
      client.abandonKey(key, begin ?? client.beganAt(NOW));
      log.debug(`a result of 'use cache' is not kept: ${messageOf(error)}`);
    }
  }

  /** What ends with a response of its request will end with this set. */
  #forgetRenders(name: string): void {
    const renders = this.#runtime.scopes.current(undefined)?.renders;
    const ours = ({ key }: Render): boolean => key.space === Space.USE_CACHE && key.name === name;
    for (const render of [...(renders ?? [])].filter(ours)) renders?.delete(render);
  }
}

/** The one of this process; what it serves is found without being told where. */
export function processUseCache(): UseCache {
  return new UseCache(guessedRuntime);
}
