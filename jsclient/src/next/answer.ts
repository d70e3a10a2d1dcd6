import type { EntryLifetime } from "../fallback.js";
import { Reason, Status } from "../gen/isrd/v1/cache_pb.js";
import { dialectOf } from "./space.js";
import type { Way } from "./telling.js";
import type { FetchValue, HostAnswer, HostCacheControl, HostGetContext, HostValue, ImageValue } from "./values.js";

/** What was found, as far as telling Next.js depends on it. */
export interface Finding {
  readonly status: Status;
  readonly reason: Reason;
  readonly ageMs: number;
  readonly lifetime: EntryLifetime;
  readonly leased: boolean;
}

/** How long a stale entry is told to be good for, to Next.js and to a CDN in front of it. */
const MOMENT_SECONDS = 1;

/** Time for Next.js to compare with its clock; less than this before the limit, a fresh entry might be judged stale. */
const MARGIN_MS = 250;

/** What telling depends on, beside what was found. */
export interface Circumstances {
  readonly ctx: HostGetContext;
  readonly way: Way;
  readonly now: number;
}

/** The clock that Next.js 15 and 16 judge by; 14 and images use Date.now, which differs by what the clock was set since. */
export function hostNow(): number {
  return performance.timeOrigin + performance.now();
}

/** The clock that the Next.js of a read judges by. */
export function nowOf(ctx: HostGetContext): number {
  return dialectOf(ctx) === "14" ? Date.now() : hostNow();
}

/**
 * Tells Next.js what was found, so that its own judgement comes out the same: fresh is fresh, an old entry that this
 * caller has to regenerate is stale but not past its expiry (which would make the request wait), and an old one that
 * somebody else regenerates is fresh for a moment; so is what the daemon could not ask its store about.
 *
 * An old fetch is never told fresh, whoever regenerates it: it would be baked into a new page.
 */
export function tellHost(value: HostValue | null, finding: Finding, { ctx, way, now }: Circumstances): HostAnswer {
  if (value?.kind === "FETCH") return tellFetch(value, finding, ctx, now);
  if (value?.kind === "IMAGE") return tellImage(value, finding);
  const told = tellResponse(value, finding, now);
  // Who cannot be told a lifetime takes anything for stale that is older than a second.
  return way === "clock" && isFresh(finding) ? { ...told, lastModified: now } : told;
}

/** Nobody could be asked whether it still is: it is not to be relied on for as long as it says. */
function isFresh({ status, reason }: Finding): boolean {
  return status === Status.HIT && reason !== Reason.STORE_UNAVAILABLE;
}

function tellResponse(value: HostValue | null, finding: Finding, now: number): HostAnswer {
  const { ageMs, lifetime, leased } = finding;
  if (isFresh(finding)) {
    const { revalidate = Number.POSITIVE_INFINITY, expire = Number.POSITIVE_INFINITY } = lifetime;
    const limitMs = Math.max(1, Math.min(revalidate, expire)) * 1000 - MARGIN_MS;
    return { value, lastModified: now - Math.min(ageMs, limitMs), cacheControl: cacheControl(lifetime) };
  }
  if (!leased) {
    return { value, lastModified: now, cacheControl: cacheControl({ ...lifetime, revalidate: MOMENT_SECONDS }) };
  }
  const staleAgeMs = Math.max(ageMs, MOMENT_SECONDS * 1000 + MARGIN_MS);
  const expire = lifetime.expire;
  // The daemon has judged it by the true expiry; here it only has to lie behind the age.
  const laterExpire =
    expire === undefined ? {} : { expire: Math.max(expire, Math.ceil((staleAgeMs + MARGIN_MS) / 1000)) };
  return {
    value,
    lastModified: now - staleAgeMs,
    cacheControl: cacheControl({ revalidate: MOMENT_SECONDS, ...laterExpire }),
  };
}

/** `revalidate: 0` would be answered with a 500, so it is never said. */
function cacheControl({ revalidate, expire }: EntryLifetime): HostCacheControl {
  return {
    revalidate: revalidate === undefined ? false : Math.max(1, revalidate),
    ...(expire === undefined ? {} : { expire }),
  };
}

/** Next.js compares the age with the reader's `revalidate`, or else the entry's. */
function tellFetch(value: FetchValue, finding: Finding, ctx: HostGetContext, now: number): HostAnswer {
  const { status, reason, ageMs, leased } = finding;
  const byAge = reason !== Reason.TAG_STALE && reason !== Reason.STORE_UNAVAILABLE;
  const mustBeStale = status === Status.STALE && (leased || !byAge);
  const limitMs = (ctx.revalidate || value.revalidate || 0) * 1000;
  return { value, lastModified: now - (mustBeStale ? Math.max(ageMs, limitMs + MARGIN_MS) : ageMs) };
}

/** Next.js compares the age with the `revalidate` in the value. */
function tellImage(value: ImageValue, finding: Finding): HostAnswer {
  const { ageMs, lifetime, leased } = finding;
  const now = Date.now();
  const seconds = value.revalidate ?? lifetime.revalidate ?? 0;
  if (isFresh(finding)) {
    return { value, lastModified: now - Math.min(ageMs, Math.max(0, seconds * 1000 - MARGIN_MS)) };
  }
  if (leased) return { value, lastModified: now - Math.max(ageMs, seconds * 1000 + MARGIN_MS) };
  return { value: { ...value, revalidate: MOMENT_SECONDS }, lastModified: now };
}
