import type { EntryLifetime } from "../fallback.js";
import type { HostSetContext, HostValue } from "./values.js";

/** What Next.js does with a response of whose lifetime it knows nothing. */
const UNKNOWN_REVALIDATE_SECONDS = 1;

const MAX_SECONDS = 0xffff_ffff;

/**
 * The lifetime that a set gives an entry; undefined if the value is not to be kept at all (`revalidate: 0`).
 *
 * From 15 on Next.js passes `cacheControl`, in 14 only `revalidate`; a fetch's lifetime is in its value in both.
 */
export function lifetimeOf(value: HostValue | null, ctx: HostSetContext): EntryLifetime | undefined {
  const given = value?.kind === "FETCH" ? { revalidate: value.revalidate } : (ctx.cacheControl ?? ctx);
  const expire = "expire" in given ? given.expire : undefined;
  const revalidate = given.revalidate ?? UNKNOWN_REVALIDATE_SECONDS;
  if (revalidate === 0) return undefined;
  return {
    ...(revalidate === false ? {} : { revalidate: wholeSeconds(revalidate) }),
    ...(expire === undefined ? {} : { expire: wholeSeconds(expire) }),
  };
}

function wholeSeconds(seconds: number): number {
  return Math.min(MAX_SECONDS, Math.max(1, Math.ceil(seconds)));
}

/** The shortest time that Next.js gives an old entry after a failed render. */
export const RETRY_MIN_SECONDS = 3;
const RETRY_MAX_SECONDS = 30;

/**
 * When a render that failed is to be tried again, in milliseconds. Next.js wants the entry's own `revalidate`, between
 * 3 and 30 seconds; from a stale answer it knows only the second that it was told, so the true one is taken here.
 */
export function retryAfterMs(ctx: HostSetContext, trueRevalidate: number | undefined): number {
  const asked = (ctx.cacheControl ?? ctx).revalidate || RETRY_MIN_SECONDS;
  const seconds = Math.max(asked, trueRevalidate ?? RETRY_MAX_SECONDS);
  return Math.min(RETRY_MAX_SECONDS, Math.max(RETRY_MIN_SECONDS, seconds)) * 1000;
}

/** The mark of a revalidation with this `expire`. What cannot be a duration means at once, as none does. */
export function toMark(expire: number | undefined): { expireSeconds?: number } {
  if (expire === undefined || Number.isNaN(expire)) return {};
  return { expireSeconds: Math.min(MAX_SECONDS, Math.max(0, Math.ceil(expire))) };
}
