import type { LoadNext } from "./telling.js";
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
 * `_requestHeaders`, so the raw ones of the request are read where they are known. `router` says whether this Next.js
 * takes what its router prefetches for such a request.
 */
export function isPrefetch(
  headers: RequestHeaders | undefined,
  raw: readonly string[] = [],
  router: () => boolean = () => true,
): boolean {
  const is = (name: string, value: string): boolean => {
    if (headers?.[name] === value) return true;
    return raw.some((text, i) => i % 2 === 0 && text.toLowerCase() === name && raw[i + 1] === value);
  };
  return is("purpose", "prefetch") || (is("next-router-prefetch", "1") && router());
}

/**
 * Whether this Next.js takes a prefetch of its router for one: 14 and 15 regenerate for it as for any other request, and
 * where links are followed from what was prefetched, no other request may come. The code itself is asked; if it cannot be
 * found, the answer is the one that leaves no lease without a render.
 */
export function treatsRouterAsPrefetch(load: LoadNext): boolean {
  try {
    const { RouteModule } = load("next/dist/server/route-modules/route-module.js") as {
      RouteModule: { prototype: { handleResponse?: unknown } };
    };
    const { handleResponse } = RouteModule.prototype;
    return handleResponse !== undefined && String(handleResponse).includes("isPrefetchRSCRequest");
  } catch {
    return true;
  }
}
