// What differs between the versions of Next.js, so that the tests need not know.
import { createHash } from "node:crypto";
import { since } from "./next.ts";

/** Next.js's default for `expireTime`, in seconds: a year. */
const EXPIRE_SECONDS = 31_536_000;

/** What a page's `revalidate` means to a CDN. 14 says no more than that it may be served stale. */
export function cacheControlOf(revalidate: number): string {
  if (!since("next15")) return `s-maxage=${revalidate}, stale-while-revalidate`;
  const stale = EXPIRE_SECONDS - revalidate;
  return stale > 0 ? `s-maxage=${revalidate}, stale-while-revalidate=${stale}` : `s-maxage=${revalidate}`;
}

/** What an app's `revalidate` of an hour means to a CDN. */
export const PAGE_CACHE_CONTROL = cacheControlOf(3600);

/** The same for a route handler: 14 says nothing, 15 leaves out how long it may be served stale. */
export const ROUTE_CACHE_CONTROL = since("next16") ? PAGE_CACHE_CONTROL : since("next15") ? "s-maxage=3600" : undefined;

/** The lifetime that an entry has by that: before 16 Next.js does not say when a page is not to be served any more. */
export const PAGE_LIFETIME = { revalidateSeconds: 3600, ...(since("next16") ? { expireSeconds: EXPIRE_SECONDS } : {}) };

/** What a process says at its start of how this version learns lifetimes. */
export const TOLD_LIFETIMES = since("next16")
  ? /is told the lifetime of an entry with the entry/
  : /is told the lifetime of an entry by its own table/;

/** The cache key of a page below /a: since 15.5.27 it names the kind and the route that owns it before the path. */
export function pageName(page: string): string {
  if (!since("next15")) return page;
  const source = createHash("sha256").update("/a/[id]/page").digest("hex");
  return `/route-cache/APP_PAGE/${source}/$${page}`;
}

/**
 * How long after a response Next.js still joins requests to its render, at most: 14 answers before it has called `set`,
 * and joins until that is done.
 */
export const JOINS_AFTER_RESPONSE_MS = since("next15") ? 0 : 250;

/** The reason to skip a test of what there is on 16 only, or false. */
export const SKIP_PROFILES = since("next16")
  ? false
  : "before 16 revalidateTag has no profile: what it marks is gone at once, and never stale";

/** The reason to skip a test of what there is from 15 on, or false. */
export const SKIP_HANDLER_PATH = since("next15") ? false : "14 does not read NEXT_CACHE_HANDLER_PATH";

/** The reason to skip a test of a cached `redirect()` of the App Router, or false. */
export const SKIP_APP_REDIRECT = since("next15")
  ? false
  : "14 leaves the Location out of a cached redirect of the App Router, also with its own file cache";
