import type { Answer, Read, Write } from "./calls.js";
import { messageOf } from "./errors.js";
import { Status } from "./gen/isrd/v1/cache_pb.js";
import { type Entry, Space } from "./gen/isrd/v1/entry_pb.js";
import type { EntryKey } from "./key.js";
import { nowOf, tellHost } from "./next/answer.js";
import type { Seed } from "./next/build-output.js";
import { implicitTagsOf, isOfPagesRouter } from "./next/implicit-tags.js";
import { isOnDemand, isPrefetch, isProbe } from "./next/intent.js";
import { lifetimeOf, RETRY_MIN_SECONDS, retryAfterMs, toMark } from "./next/lifetime.js";
import type { RequestScope } from "./next/request-scope.js";
import { dialectOf, softTagsOf, spaceOf, tagsOf } from "./next/space.js";
import type { Way } from "./next/telling.js";
import type { HostAnswer, HostContext, HostGetContext, HostSetContext, HostValue } from "./next/values.js";
import { JOB_HEADER } from "./regeneration.js";
import type { Begin } from "./renders.js";
import { type Handed, processRuntime, type Runtime } from "./runtime.js";
import { decodeValue, encodeValue } from "./serialize.js";

/**
 * A "not found" has no identity by which it could be known again. That Next.js gives an old one back after a failed render
 * is told by the time it gives it: three seconds, made of the one that it was told.
 */
function rewrittenNull({ oldNulls }: Runtime, name: string, ctx: HostSetContext): Handed | undefined {
  const handed = oldNulls.get(name);
  oldNulls.delete(name);
  return (ctx.cacheControl ?? ctx).revalidate === RETRY_MIN_SECONDS ? handed : undefined;
}

function keyOf({ fetchPrefix }: Runtime, name: string, ctx: HostSetContext): EntryKey {
  const space = spaceOf(ctx);
  return { space, name: space === Space.FETCH ? fetchPrefix + name : name };
}

function storedTags(runtime: Runtime, key: EntryKey, value: HostValue | null, ctx: HostSetContext): string[] {
  const tags = tagsOf(value, ctx);
  if (key.space !== Space.ROUTE || !isOfPagesRouter(value)) return tags;
  return [...new Set([...tags, ...implicitTagsOf(key.name, runtime.pages())])];
}

/** There is nothing to hand out; a cached "not found" is something. */
function isEmpty({ status, entry, kept }: Answer): boolean {
  return status === Status.MISS || !(entry || kept);
}

/**
 * For a path that the build has recorded as "not found" Next.js serves that, and stores it as if it were news, whenever
 * nothing is found; so it is told to be old, and is rendered. In the closed routes of 14, and of 15's App Router, nothing
 * found is a 404 for good: then an old page is better, once.
 */
function mustNotMiss({ value, closed }: Seed, ctx: HostGetContext, way: Way): boolean {
  return value === null || (closed && way !== "answer" && ctx.kind !== "PAGES");
}

/** What `isrd/cache-handler` does, once it is loaded. `runtime` is the process's own but in tests. */
export class Handler {
  readonly #host: HostContext;
  readonly #runtime: Runtime;
  readonly #begin: Begin;

  /** `madeAt`: the request has had its handler since then, and not just since now. */
  constructor(ctx: HostContext = {}, runtime?: Runtime, madeAt?: number) {
    this.#host = ctx;
    this.#runtime = runtime ?? processRuntime(ctx.serverDistDir);
    this.#begin = this.#runtime.client.begin(madeAt);
  }

  /** The entry of a key, or null: then Next.js renders, and calls set. */
  async get(key: string, ctx: HostGetContext = {}): Promise<HostAnswer | null> {
    const runtime = this.#runtime;
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
    try {
      await this.#write(runtime, this.#begin, key, value, ctx);
    } catch (error) {
      runtime.log.warnSeldom("set", `"${key}" is not cached: ${messageOf(error)}`);
    }
    if (spaceOf(ctx) === Space.ROUTE) this.#endFetches();
  }

  /** Marks tags, expired or, with durations, stale. */
  async revalidateTag(tags: string | readonly string[], durations?: { expire?: number }): Promise<void> {
    const list = typeof tags === "string" ? [tags] : tags;
    if (list.length === 0) return;
    const { client, log } = this.#runtime;
    try {
      const mark = toMark(durations?.expire);
      await client.revalidate([...new Set(list)].map((tag) => ({ tag, ...mark })));
    } catch (error) {
      log.warnSeldom("revalidate", `tags could not be revalidated: ${messageOf(error)}`);
    }
  }

  async #read(runtime: Runtime, begin: Begin, name: string, ctx: HostGetContext): Promise<HostAnswer | null> {
    const scope = runtime.scopes.current(this.#host._requestHeaders);
    const read = this.#toRead(runtime, begin, name, ctx, scope?.rawHeaders);
    const inRoute = read.key.space === Space.ROUTE;
    let answer = await runtime.client.get(read);
    // What a probe finds was written, so it can be again; a prefetch does not.
    const renewable = answer.status === Status.STALE && !answer.leased && read.noLease;
    if (renewable && !this.#isPrefetch(ctx, scope?.rawHeaders)) {
      answer = await runtime.client.get({ ...read, noLease: false });
    }
    if (isEmpty(answer) && inRoute) answer = await this.#fromBuild(runtime, read, answer, ctx);
    if (isEmpty(answer)) {
      // A stale answer is regenerated after the response; nothing else is, or a fetch whose body nobody has read to its end.
      if (answer.render) scope?.renders.add(answer.render);
      return null;
    }
    const value = this.#valueOf(answer, ctx, scope);
    if (answer.fill) runtime.client.keepNear(answer.fill, value);
    const handed = { version: answer.version, revalidate: answer.lifetime.revalidate };
    if (value) runtime.handed.set(value, handed);
    else if (answer.leased) runtime.oldNulls.set(name, handed);
    const { way, tell } = await runtime.telling;
    const told = tellHost(value as HostValue | null, answer, { ctx, way, now: nowOf(ctx) });
    if (inRoute) tell(name, told.cacheControl);
    return told;
  }

  /** A page was made after its response: what has been fetched for it, and was not written, will not be. */
  #endFetches(): void {
    const { client, scopes } = this.#runtime;
    const scope = scopes.current(this.#host._requestHeaders);
    if (!scope?.finished) return;
    for (const render of [...scope.renders].filter(({ key }) => key.space === Space.FETCH)) {
      scope.renders.delete(render);
      client.abandon(render, false);
    }
  }

  #valueOf(answer: Answer, ctx: HostGetContext, scope: RequestScope | undefined): object | null {
    if (answer.kept) return answer.kept.value;
    try {
      return decodeValue(answer.entry as Entry, dialectOf(ctx));
    } catch (error) {
      if (answer.render) scope?.renders.add(answer.render); // Next.js takes it for a miss
      throw error;
    }
  }

  #toRead(runtime: Runtime, begin: Begin, name: string, ctx: HostGetContext, rawHeaders?: readonly string[]): Read {
    const headers = this.#host._requestHeaders;
    const key = keyOf(runtime, name, ctx);
    const { space } = key;
    const onDemand = isOnDemand(headers, runtime.served.previewId);
    // Without parameters the path is the route, and its page the shell.
    const probed = isProbe(ctx) && !runtime.hasOwnRoute(name);
    if (onDemand && space === Space.ROUTE) runtime.regeneration?.asked(headers?.[JOB_HEADER], name);
    return {
      key,
      softTags: space === Space.FETCH ? softTagsOf(ctx) : [],
      onDemand,
      noLease: space === Space.ROUTE && (probed || this.#isPrefetch(ctx, rawHeaders)),
      begin,
    };
  }

  #isPrefetch(ctx: HostGetContext, rawHeaders: readonly string[] | undefined): boolean {
    const byRouter = (): boolean => dialectOf(ctx) !== "14" && this.#runtime.routerPrefetches();
    return isPrefetch(this.#host._requestHeaders, rawHeaders, byRouter);
  }

  /** What the build has rendered is an entry like any other, if it was not revalidated since. */
  async #fromBuild(runtime: Runtime, read: Read, answer: Answer, ctx: HostGetContext): Promise<Answer> {
    const seed = await runtime.output.seedOf(read.key.name, ctx, this.#host);
    if (!seed || (seed.outdated && !seed.closed && seed.value !== null)) return answer;
    let latest = answer;
    const { value, cacheControl, builtAtMs } = seed;
    const lifetime = lifetimeOf(value, { cacheControl });
    if (lifetime && !read.onDemand && !seed.outdated) {
      const write: Write = {
        ...read,
        draft: encodeValue(value),
        value,
        lifetime,
        tags: storedTags(runtime, read.key, value, {}),
      };
      const planted = await runtime.client.plant(read, answer, write, builtAtMs);
      if (planted === "outdated") runtime.output.refused(read.key.name, ctx);
      else latest = planted ?? answer; // its render is the one that is open now
      if (!isEmpty(latest)) return latest;
    }
    const { way } = await runtime.telling;
    if (!mustNotMiss(seed, ctx, way)) return latest;
    const ageMs = Math.max(0, Date.now() - builtAtMs);
    return { ...latest, status: Status.STALE, kept: { value }, ageMs, lifetime: lifetime ?? {}, leased: true };
  }

  async #write(
    runtime: Runtime,
    begin: Begin,
    name: string,
    value: HostValue | null,
    ctx: HostSetContext,
  ): Promise<void> {
    const { client } = runtime;
    const key = keyOf(runtime, name, ctx);
    const handed = value ? runtime.handed.get(value) : rewrittenNull(runtime, name, ctx);
    if (handed) {
      if (!handed.version) return client.abandonKey(key, begin);
      return client.retryLater(key, handed.version, retryAfterMs(ctx, handed.revalidate), begin);
    }
    const lifetime = lifetimeOf(value, ctx);
    if (!lifetime) return client.abandonKey(key, begin, true);
    const problem = await client.set({
      key,
      draft: encodeValue(value),
      value,
      lifetime,
      tags: storedTags(runtime, key, value, ctx),
      begin,
    });
    if (problem) runtime.regeneration?.unwritten(this.#host._requestHeaders?.[JOB_HEADER], name, problem);
  }
}
