import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseRouteKey, toRoute } from "./key-path.js";
import type { LoadNext } from "./telling.js";
import type { HostCacheControl, HostContext, HostGetContext, HostValue } from "./values.js";

/** What `next build` has rendered for a key. */
export interface Seed {
  /** `null`: the build found that there is no such page. */
  readonly value: HostValue | null;
  /** When it was rendered, by the builder's clock, in milliseconds since 1970. */
  readonly builtAtMs: number;
  readonly cacheControl: HostCacheControl;
  /** It was revalidated since it was built, as the daemon has said a short time ago. */
  readonly outdated: boolean;
  /**
   * The route takes no other paths than those that the build rendered (`fallback: false`, `dynamicParams = false`): Next.js
   * before 16 answers 404 if nothing is found for one of them.
   */
  readonly closed: boolean;
}

/** What Next.js's file cache returns. */
interface Found {
  readonly value: HostValue | null;
  readonly lastModified?: number;
  readonly cacheControl?: HostCacheControl;
}

interface Prerendered {
  readonly initialRevalidateSeconds?: number | false;
  readonly initialExpireSeconds?: number;
  readonly srcRoute?: string | null;
}

interface Pattern {
  readonly fallback?: string | false | null;
  readonly fallbackRevalidate?: number | false;
  readonly fallbackExpire?: number;
}

interface Manifest {
  readonly routes: Readonly<Record<string, Prerendered>>;
  readonly dynamicRoutes: Readonly<Record<string, Pattern>>;
  readonly notFoundRoutes: ReadonlySet<string>;
  /** When the build ended. */
  readonly builtAtMs: number;
}

/** What is not in the build output is not looked for again; a process that is asked for more keys starts over. */
const MAX_ABSENT = 10_000;

/** What was refused is not offered again for this time: the daemon may only have been unable to say that it is not old. */
const OUTDATED_MS = 60_000;

/** What Next.js takes for a response of whose lifetime it knows nothing, such as a "not found" of the build. */
const UNKNOWN: HostCacheControl = { revalidate: 1 };

/**
 * The pages that `next build` has rendered, which are files of the image: read by Next.js's own file cache, so that every
 * version finds its own layout, and whatever it keeps beside a page.
 */
export class BuildOutput {
  readonly #load: LoadNext;
  readonly #distDir: string | undefined;
  readonly #absent = new Set<string>();
  readonly #outdated = new Map<string, number>();
  #manifest: Promise<Manifest | undefined> | undefined;

  constructor(load: LoadNext, distDir: string | undefined) {
    this.#load = load;
    this.#distDir = distDir;
  }

  /** What the build has of a key; undefined if it has nothing, or if this Next.js cannot be asked. */
  async seedOf(key: string, ctx: HostGetContext, host: HostContext): Promise<Seed | undefined> {
    const variant = variantOf(key, ctx);
    if (this.#distDir === undefined || this.#absent.has(variant)) return undefined;
    const outdated = (this.#outdated.get(variant) ?? 0) > performance.now();
    const { path } = parseRouteKey(key);
    this.#manifest ??= readManifest(this.#distDir);
    const manifest = await this.#manifest;
    if (!manifest) return undefined;
    const seed = await this.#find(key, path, manifest, ctx, host);
    // What the manifest has may only have been unreadable for a moment.
    if (!seed && !manifest.routes[toRoute(path)]) {
      if (this.#absent.size >= MAX_ABSENT) this.#absent.clear();
      this.#absent.add(variant);
    }
    return seed && { ...seed, outdated };
  }

  /** It was offered, and refused because it may have been revalidated since it was built. */
  refused(key: string, ctx: HostGetContext): void {
    if (this.#outdated.size >= MAX_ABSENT) this.#outdated.clear();
    this.#outdated.set(variantOf(key, ctx), performance.now() + OUTDATED_MS);
  }

  async #find(
    key: string,
    path: string,
    manifest: Manifest,
    ctx: HostGetContext,
    host: HostContext,
  ): Promise<Omit<Seed, "outdated"> | undefined> {
    if (manifest.notFoundRoutes.has(path)) {
      return { value: null, builtAtMs: manifest.builtAtMs, cacheControl: UNKNOWN, closed: false };
    }
    const found = await this.#read(key, ctx, host);
    if (!found?.value) return undefined;
    const route = manifest.routes[toRoute(path)];
    const pattern = manifest.dynamicRoutes[route?.srcRoute ?? toRoute(path)];
    return {
      value: found.value,
      // Images may have no times: what is from 1970 is older than whatever was revalidated.
      builtAtMs: Math.max(1, Math.floor(Math.min(found.lastModified ?? manifest.builtAtMs, manifest.builtAtMs))),
      cacheControl: found.cacheControl ?? lifetimeOf(route, pattern, ctx),
      closed: route !== undefined && pattern?.fallback === false,
    };
  }

  async #read(key: string, ctx: HostGetContext, host: HostContext): Promise<Found | null> {
    try {
      const module = this.#load("next/dist/server/lib/incremental-cache/file-system-cache.js") as {
        default: new (ctx: object) => { get(key: string, ctx: HostGetContext): Promise<Found | null> };
      };
      return await new module.default({ ...host, flushToDisk: false, maxMemoryCacheSize: 0 }).get(key, ctx);
    } catch {
      return null; // another layout than is known here: as if the build had rendered nothing
    }
  }
}

/** Of a route with partial prerendering, one key has its shell and its pages. */
function variantOf(key: string, ctx: HostGetContext): string {
  return ctx.isFallback ? `${key}?` : key;
}

function lifetimeOf(route: Prerendered | undefined, pattern: Pattern | undefined, ctx: HostGetContext) {
  const revalidate = route?.initialRevalidateSeconds ?? pattern?.fallbackRevalidate ?? (ctx.isFallback ? false : 1);
  const expire = route ? route.initialExpireSeconds : pattern?.fallbackExpire;
  return { revalidate, ...(expire === undefined ? {} : { expire }) };
}

/**
 * A file's own time may be that of a copy; none of the build's is later than its end. Without the manifest nobody knows
 * what is build output, and how old it is.
 */
async function readManifest(distDir: string): Promise<Manifest | undefined> {
  try {
    const { mtimeMs } = await stat(/* turbopackIgnore: true */ join(distDir, "BUILD_ID"));
    const text = await readFile(/* turbopackIgnore: true */ join(distDir, "prerender-manifest.json"), "utf8");
    const { routes = {}, dynamicRoutes = {}, notFoundRoutes = [] } = JSON.parse(text);
    return {
      routes,
      dynamicRoutes,
      notFoundRoutes: new Set(notFoundRoutes),
      builtAtMs: Math.max(1, Math.floor(mtimeMs)),
    };
  } catch {
    return undefined;
  }
}
