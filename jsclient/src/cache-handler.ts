import type { Read } from "./calls.js";
import { messageOf } from "./errors.js";
import { Status } from "./gen/isrd/v1/cache_pb.js";
import { Space } from "./gen/isrd/v1/entry_pb.js";
import { hostNow, tellHost } from "./next/answer.js";
import { isOnDemand, isPrefetch, isProbe } from "./next/intent.js";
import { lifetimeOf, retryAfterMs, toMark } from "./next/lifetime.js";
import { softTagsOf, spaceOf, tagsOf } from "./next/space.js";
import type { HostAnswer, HostContext, HostGetContext, HostSetContext, HostValue } from "./next/values.js";
import type { Begin } from "./renders.js";
import { processRuntime, type Runtime } from "./runtime.js";
import { decodeValue, encodeValue } from "./serialize.js";

const BUILD_PHASE = "phase-production-build";

/**
 * Next.js's `cacheHandler`. Next.js makes several instances for one request, so that an instance has nothing but what
 * belongs to the request; all else is the process's. No method rejects, and none waits longer than its deadline: whatever
 * fails is a miss. During `next build` and in `next dev` it keeps nothing and connects to nothing.
 */
export default class CacheHandler {
  readonly #headers: HostContext["_requestHeaders"];
  readonly #runtime: Runtime | undefined;
  readonly #begin: Begin | undefined;

  constructor(ctx: HostContext = {}, runtime?: Runtime) {
    this.#headers = ctx._requestHeaders;
    if (ctx.dev || process.env["NEXT_PHASE"] === BUILD_PHASE) return;
    this.#runtime = runtime ?? processRuntime(ctx.serverDistDir);
    this.#begin = this.#runtime.client.begin();
  }

  /** The entry of a key, or null: then Next.js renders, and calls set. */
  async get(key: string, ctx: HostGetContext = {}): Promise<HostAnswer | null> {
    const runtime = this.#runtime;
    if (!runtime || !this.#begin) return null;
    try {
      return await this.#read(runtime, this.#begin, key, ctx);
    } catch (error) {
      runtime.client.counters.unreadable += 1;
      runtime.log.warnSeldom("get", `"${key}" could not be read and is rendered: ${messageOf(error)}`);
      return null;
    }
  }

  /** Keeps an entry. `null` is one too: a page that is not found. */
  async set(key: string, value: HostValue | null, ctx: HostSetContext = {}): Promise<void> {
    const runtime = this.#runtime;
    if (!runtime || !this.#begin) return;
    try {
      await this.#write(runtime, this.#begin, key, value, ctx);
    } catch (error) {
      runtime.log.warnSeldom("set", `"${key}" is not cached: ${messageOf(error)}`);
    }
  }

  /**
   * Marks tags. Without `durations` their entries are gone for every read that begins after this returns; with them they
   * are stale now, and gone after `expire` seconds.
   */
  async revalidateTag(tags: string | readonly string[], durations?: { expire?: number }): Promise<void> {
    const list = typeof tags === "string" ? [tags] : tags;
    const runtime = this.#runtime;
    if (!runtime || list.length === 0) return;
    try {
      const mark = toMark(durations?.expire);
      await runtime.client.revalidate([...new Set(list)].map((tag) => ({ tag, ...mark })));
    } catch (error) {
      runtime.log.warnSeldom("revalidate", `tags could not be revalidated: ${messageOf(error)}`);
    }
  }

  /** There is nothing that belongs to one request only. */
  resetRequestCache(): void {}

  async #read(runtime: Runtime, begin: Begin, name: string, ctx: HostGetContext): Promise<HostAnswer | null> {
    const scope = runtime.scopes.current(this.#headers);
    const space = spaceOf(ctx);
    const read: Read = {
      key: { space, name },
      softTags: space === Space.FETCH ? softTagsOf(ctx) : [],
      onDemand: isOnDemand(this.#headers, runtime.served.previewId),
      noLease: space === Space.ROUTE && (isProbe(ctx) || isPrefetch(this.#headers, scope?.rawHeaders)),
      begin,
    };
    const answer = await runtime.client.get(read);
    if (answer.status === Status.MISS || !(answer.entry || answer.kept)) {
      // A stale answer is regenerated after the response, and a fetch's result may come after it: only this one must not.
      if (answer.render && space === Space.ROUTE) scope?.renders.add(answer.render);
      return null;
    }
    const value = answer.kept ? (answer.kept.value as HostValue | null) : decodeValue(answer.entry as never);
    if (answer.fill) runtime.client.keepNear(answer.fill, value);
    if (value) runtime.handed.set(value, { version: answer.version, revalidate: answer.lifetime.revalidate });
    return tellHost(value, answer, ctx, hostNow());
  }

  async #write(
    runtime: Runtime,
    begin: Begin,
    name: string,
    value: HostValue | null,
    ctx: HostSetContext,
  ): Promise<void> {
    const { client } = runtime;
    const key = { space: spaceOf(ctx), name };
    const handed = value && runtime.handed.get(value);
    if (handed) {
      if (handed.version) await client.retryLater(key, handed.version, retryAfterMs(ctx, handed.revalidate), begin);
      return;
    }
    const lifetime = lifetimeOf(value, ctx);
    if (!lifetime) return client.abandonKey(key, begin);
    await client.set({ key, draft: encodeValue(value), value, lifetime, tags: tagsOf(value, ctx), begin });
  }
}
