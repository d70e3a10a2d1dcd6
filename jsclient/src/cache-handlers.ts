import type { HostCacheEntry } from "./next/use-cache.js";
import type { UseCache } from "./use-cache.js";

const BUILD_PHASE = "phase-production-build";

/** What a handler of `'use cache'` is to Next.js 15.5 and 16, which call some methods by other names or arguments. */
export interface UseCacheHandler {
  get(key: string, softTags?: string[]): Promise<HostCacheEntry | undefined>;
  set(key: string, pending: Promise<HostCacheEntry>): Promise<void>;
  refreshTags(): Promise<void>;
  getExpiration(...tags: unknown[]): Promise<number>;
  updateTags(tags: string[], durations?: { expire?: number }): Promise<void>;
  expireTags(...tags: string[]): Promise<void>;
}

/** Before all results, also before the time that a stale one is told to be of. */
const NEVER = -1;

let loaded: UseCache | undefined;
let loading: Promise<UseCache | undefined> | undefined;

/**
 * Loads what it takes to talk to a daemon, where there is one to talk to: not in `next build`, which keeps nothing, not in
 * `next dev`, and not in the edge runtime, which has no sockets. A bundler for that leaves the import out, because it
 * replaces this very expression.
 */
function load(): Promise<UseCache | undefined> {
  if ((process.env as { NEXT_RUNTIME?: string }).NEXT_RUNTIME === "edge") {
    return Promise.resolve(undefined);
  } else {
    const off = process.env["NEXT_PHASE"] === BUILD_PHASE || process.env["NODE_ENV"] === "development";
    if (off) return Promise.resolve(undefined);
    return import("./use-cache.js")
      .then(({ processUseCache }) => {
        loaded = processUseCache();
        return loaded;
      })
      .catch(warn);
  }
}

function warn(error: unknown): undefined {
  process.emitWarning(`isrd: 'use cache' keeps nothing, because the handler cannot be loaded: ${String(error)}`);
}

/** Calls at once where that is possible: two revalidations of one turn go out as one. */
function use<T>(call: (cache: UseCache) => Promise<T>): Promise<T | undefined> {
  if (loaded) return call(loaded);
  loading ??= load();
  return loading.then((cache) => cache && call(cache));
}

/** Next.js's `cacheHandlers` for `'use cache'` and `'use cache: remote'`. No method rejects; whatever fails is a miss. */
const handler: UseCacheHandler = {
  get: (key, softTags = []) => use((cache) => cache.get(key, softTags)),
  set: (key, pending) => use((cache) => cache.set(key, pending)),
  /** What changes is pushed to this process, and reads are judged by it: there is nothing to fetch. */
  refreshTags: () => Promise.resolve(),
  /** When soft tags have expired last: they are judged by `get`. Infinity, which says so, is taken for 0 by Next.js. */
  getExpiration: () => Promise.resolve(NEVER),
  updateTags: (tags, durations) => use((cache) => cache.updateTags(tags, durations)),
  /** Next.js 15's name for `updateTags`. */
  expireTags: (...tags) => use((cache) => cache.updateTags(tags.flat())),
};

export default handler;
