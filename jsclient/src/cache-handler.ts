import type { Handler } from "./handler.js";
import type { HostAnswer, HostContext, HostGetContext, HostSetContext, HostValue } from "./next/values.js";

type Module = typeof import("./handler.js");

const BUILD_PHASE = "phase-production-build";

let loaded: Module | undefined;
let loading: Promise<Module | undefined> | undefined;

/**
 * Loads what it takes to talk to a daemon, where there is one to talk to: not in `next build`, which keeps nothing, and not
 * in the edge runtime, which has no sockets. A bundler for that leaves the import out, because it replaces this very
 * expression.
 */
function load(): Promise<Module | undefined> {
  if ((process.env as { NEXT_RUNTIME?: string }).NEXT_RUNTIME === "edge") {
    return Promise.resolve(undefined);
  } else {
    if (process.env["NEXT_PHASE"] === BUILD_PHASE) return Promise.resolve(undefined);
    return import("./handler.js")
      .then((module) => {
        loaded = module;
        return module;
      })
      .catch(warn);
  }
}

function warn(error: unknown): undefined {
  process.emitWarning(`isrd: nothing is cached, because the handler cannot be loaded: ${String(error)}`);
}

/**
 * Next.js's `cacheHandler`. Next.js makes several instances for one request, so that an instance has nothing but what
 * belongs to the request; all else is the process's. No method rejects, and none waits longer than its deadline: whatever
 * fails is a miss. During `next build`, in `next dev` and in edge bundles it keeps nothing and connects to nothing.
 */
export default class CacheHandler {
  /** Made at once where that is possible: a request counts from when it began. */
  #handler: Handler | undefined;
  readonly #ctx: HostContext;
  readonly #madeAt = performance.now();

  constructor(ctx: HostContext = {}) {
    this.#ctx = ctx;
    if (loaded && !ctx.dev) this.#handler = new loaded.Handler(ctx);
  }

  /** The entry of a key, or null: then Next.js renders, and calls set. */
  async get(key: string, ctx?: HostGetContext): Promise<HostAnswer | null> {
    const handler = this.#handler ?? (await this.#make());
    return handler ? handler.get(key, ctx) : null;
  }

  /** Keeps an entry. `null` is one too: a page that is not found. */
  async set(key: string, value: HostValue | null, ctx?: HostSetContext): Promise<void> {
    await (this.#handler ?? (await this.#make()))?.set(key, value, ctx);
  }

  /**
   * Marks tags. Without `durations` their entries are gone for every read that begins after this returns; with them they
   * are stale now, and gone after `expire` seconds.
   */
  async revalidateTag(tags: string | readonly string[], durations?: { expire?: number }): Promise<void> {
    await (this.#handler ?? (await this.#make()))?.revalidateTag(tags, durations);
  }

  /** There is nothing that belongs to one request only. */
  resetRequestCache(): void {}

  async #make(): Promise<Handler | undefined> {
    if (this.#ctx.dev) return undefined;
    loading ??= load();
    const module = await loading;
    if (module) this.#handler ??= new module.Handler(this.#ctx, undefined, this.#madeAt);
    return this.#handler;
  }
}
