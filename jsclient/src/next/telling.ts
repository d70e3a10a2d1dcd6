import { LRUCache } from "lru-cache";
import { messageOf } from "../errors.js";
import { toRoute } from "./key-path.js";
import type { HostAnswer, HostCacheControl, HostGetContext } from "./values.js";

/**
 * How this Next.js learns the lifetime of an entry that its own process has not rendered:
 *
 * - `answer`: from `cacheControl` in what get returns (16.4 and later).
 * - `table`: from the table of lifetimes that each of its processes keeps, which it reads after get has returned. Only a
 *   process's own renders fill it; after a restart everything would be stale, and without a `Cache-Control`.
 * - `clock`: not at all. A fresh entry is told to be new, so that it is not rendered again; `Cache-Control` is missing.
 */
export type Way = "answer" | "table" | "clock";

/** The way that a Next.js was seen to take. */
export interface Telling {
  readonly way: Way;
  /** Tells it the lifetime of the entry that a get of this key returns next; does nothing where that is not the way. */
  tell(key: string, lifetime: HostCacheControl | undefined): void;
}

/** Loads a module of the app's own copy of Next.js; throws if it is not there. */
export type LoadNext = (path: string) => unknown;

const IGNORED: Pick<Telling, "tell"> = { tell: () => undefined };

/**
 * Finds the way by trying: Next.js's own cache gets a handler that answers with a lifetime, and is asked what it has
 * understood. All of it is private to Next.js, so that whatever is not as expected means `clock`; `problem` then says why.
 */
export async function findTelling(load: LoadNext): Promise<{ telling: Telling; problem?: string }> {
  try {
    const probe = probeOf(load);
    if ((await probe.ask()) === PROBE_SECONDS) return { telling: { way: "answer", ...IGNORED } };
    for (const table of tables(load)) {
      tried += 1; // what an earlier attempt has left behind is not mistaken for this one's
      table.set(probe.key, { revalidate: tried, expire: tried + 1 });
      if ((await probe.ask()) === tried) return { telling: { way: "table", tell: bounded(table) } };
    }
    return { telling: { way: "clock", ...IGNORED }, problem: "it reads no table of lifetimes that is known here" };
  } catch (error) {
    return { telling: { way: "clock", ...IGNORED }, problem: messageOf(error).split("\n", 1)[0] ?? "" };
  }
}

interface Table {
  set(key: string, lifetime: HostCacheControl): void;
  delete(key: string): void;
}

/** Keys whose lifetimes are in the table at a time: it is one for all, and Next.js takes nothing out of it. */
const MAX_TOLD = 20_000;

function bounded(table: Table): Telling["tell"] {
  const told = new LRUCache<string, true>({
    max: MAX_TOLD,
    dispose: (_, key) => table.delete(key),
    noDisposeOnSet: true,
  });
  return (key, lifetime) => {
    if (!lifetime) return;
    told.set(key, true);
    table.set(key, lifetime);
  };
}

/** A key that no route has, and that is another as a route: that tells by which of the two a table is read. */
const PROBE_KEY = "/isrd/self-check/index";
const PROBE_SECONDS = 1_234_567;
let tried = 2 * PROBE_SECONDS;

/** What 14, 15 and 16 want to know of a read: `kindHint`, `kind`, and (since 15.5.27) which route it is for. */
const PROBE_CONTEXT = {
  ...{ kind: "PAGES", kindHint: "pages", isFallback: false },
  route: { kind: "PAGES", sourceRoute: PROBE_KEY },
};

const NO_PAGES = {
  ...{ version: 4, routes: {}, dynamicRoutes: {}, notFoundRoutes: [] },
  preview: { previewModeId: "", previewModeSigningKey: "", previewModeEncryptionKey: "" },
};

const CACHE_OPTIONS = {
  ...{ dev: false, minimalMode: false, flushToDisk: false, maxMemoryCacheSize: 0, requestHeaders: {} },
  ...{ serverDistDir: "", fetchCacheKeyPrefix: "", allowedRevalidateHeaderKeys: [] },
  ...{ prerenderManifest: NO_PAGES, getPrerenderManifest: () => NO_PAGES, previewProps: NO_PAGES.preview },
};

interface NextCache {
  get(key: string, ctx: HostGetContext): Promise<{ cacheControl?: HostCacheControl; curRevalidate?: number } | null>;
}

interface Probe {
  /** Asks Next.js for an entry that has PROBE_SECONDS, and returns the `revalidate` that it has understood. */
  ask(): Promise<number | false | undefined>;
  /** The key by which its handler was asked. */
  readonly key: string;
}

function probeOf(load: LoadNext): Probe {
  const { IncrementalCache } = load("next/dist/server/lib/incremental-cache/index.js") as {
    IncrementalCache: new (options: object) => NextCache;
  };
  const value = { kind: "PAGES" as const, html: "", pageData: {}, headers: {}, status: 200 };
  let asked = "";
  class Handler {
    get(key: string): Promise<HostAnswer> {
      asked = key;
      const cacheControl = { revalidate: PROBE_SECONDS, expire: PROBE_SECONDS + 1 };
      return Promise.resolve({ value, lastModified: Date.now(), cacheControl });
    }
  }
  const cache = new IncrementalCache({ ...CACHE_OPTIONS, CurCacheHandler: Handler });
  return {
    async ask() {
      const found = await cache.get(PROBE_KEY, PROBE_CONTEXT);
      return found?.cacheControl?.revalidate ?? found?.curRevalidate;
    },
    get key() {
      return asked;
    },
  };
}

/** The tables that there may be, each by the key of an entry and by its route. */
function* tables(load: LoadNext): Generator<Table> {
  const folder = "next/dist/server/lib/incremental-cache";
  const controls = loaded(
    () =>
      load(`${folder}/shared-cache-controls.external.js`) as {
        SharedCacheControls: { cacheControls: Map<string, HostCacheControl> };
      },
  )?.SharedCacheControls.cacheControls;
  if (controls) {
    yield controls;
    yield byRoute(controls, (lifetime) => lifetime);
  }
  const timings = loaded(
    () =>
      load(`${folder}/shared-revalidate-timings.js`) as {
        SharedRevalidateTimings: { timings: Map<string, number | false> };
      },
  )?.SharedRevalidateTimings.timings;
  if (timings) yield byRoute(timings, ({ revalidate }) => revalidate);
}

function byRoute<T>(table: Map<string, T>, toValue: (lifetime: HostCacheControl) => T): Table {
  return {
    set: (key, lifetime) => table.set(toRoute(key), toValue(lifetime)),
    delete: (key) => table.delete(toRoute(key)),
  };
}

function loaded<T>(load: () => T): T | undefined {
  try {
    return load();
  } catch {
    return undefined;
  }
}
