import { Space } from "../gen/isrd/v1/entry_pb.js";
import type { Dialect, HostGetContext, HostSetContext, HostValue } from "./values.js";

/**
 * The key space of a call. Next.js 14 says `kindHint` in lower case where 15 and later say `kind`; sets of fetches are
 * told by `fetchCache` in all of them. Everything that is neither a fetch nor an image is a response.
 */
export function spaceOf(ctx: HostSetContext): Space {
  const kind = (ctx.kind ?? ctx.kindHint)?.toUpperCase();
  if (kind === "FETCH" || ctx.fetchCache) return Space.FETCH;
  return kind === "IMAGE" ? Space.IMAGE : Space.ROUTE;
}

/** 14 says `kindHint` with every read, and no later version does. */
export function dialectOf(ctx: HostGetContext): Dialect {
  return ctx.kindHint === undefined ? "15" : "14";
}

/** The tags that a read brings along: those of the fetch itself, and those of the route that fetches. */
export function softTagsOf(ctx: HostGetContext): string[] {
  return [...new Set([...(ctx.tags ?? []), ...(ctx.softTags ?? [])])];
}

const TAGS_HEADER = "x-next-cache-tags";

/**
 * The tags that are stored with a value. A fetch's own come first, as its serialisation needs it; pages and route
 * handlers of the App Router name theirs in a header. Entries of the Pages Router have none.
 */
export function tagsOf(value: HostValue | null, ctx: HostSetContext): string[] {
  if (value?.kind === "FETCH") {
    const own = value.tags ?? [];
    return [...own, ...(ctx.tags ?? []).filter((tag) => !own.includes(tag))];
  }
  if (!value || !("headers" in value)) return [];
  const header = value.headers?.[TAGS_HEADER];
  return typeof header === "string" ? header.split(",").filter((tag) => tag !== "") : [];
}
