import type { HostContext, HostGetContext } from "./values.js";

type RequestHeaders = NonNullable<HostContext["_requestHeaders"]>;

/**
 * The request is an on-demand revalidation: Next.js renders whatever the cache has. Anybody can send the header, so it
 * counts only with the secret of the build, as it does for Next.js.
 */
export function isOnDemand(headers: RequestHeaders | undefined, previewId: string | undefined): boolean {
  return previewId !== undefined && headers?.["x-prerender-revalidate"] === previewId;
}

/**
 * What is asked for is probed rather than wanted: the key of a concrete path of a route with partial prerendering is
 * looked up with every request and normally never written, because the route's shell answers.
 */
export function isProbe(ctx: HostGetContext): boolean {
  return ctx.isRoutePPREnabled === true && ctx.isFallback !== true;
}

/**
 * The request is a prefetch, which does not regenerate what it gets stale. Next.js strips the headers of its router from
 * `_requestHeaders`, so the raw ones of the request are read where they are known.
 */
export function isPrefetch(headers: RequestHeaders | undefined, raw: readonly string[] = []): boolean {
  if (headers?.["purpose"] === "prefetch" || headers?.["next-router-prefetch"] === "1") return true;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase();
    if (name === "next-router-prefetch" && raw[i + 1] === "1") return true;
    if (name === "purpose" && raw[i + 1] === "prefetch") return true;
  }
  return false;
}
