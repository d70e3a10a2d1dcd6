import type { Lifetime } from "./lifetimes.js";
import type { PrerenderedRoute } from "./manifests.js";
import { pagePath } from "./paths.js";
import type { Located } from "./route-table.js";

/**
 * What `next build` would have written for a path if it had rendered it, but for what only a render knows: its status,
 * headers, tags and size.
 *
 * `srcRoute` and the end of `dataRoute` have to be right: by them Next.js since 15.5.27 and 16.3.8 tells whose entry it
 * is, and an entry without them is an error in every request of its path. The rest is the route's own, so each version
 * gets the fields that it has itself.
 */
export function entryOf({ route, name }: Located, lifetime: Lifetime, buildId: string): PrerenderedRoute {
  const { experimentalBypassFor, allowHeader } = route.line;
  const { revalidate = false, expire } = lifetime;
  // What is undefined does not come into the file. In the build's own order.
  return {
    experimentalBypassFor,
    initialRevalidateSeconds: revalidate,
    initialExpireSeconds: expire,
    srcRoute: route.pattern,
    dataRoute: dataRouteOf({ route, name }, buildId),
    allowHeader,
  };
}

function dataRouteOf({ route: { kind }, name }: Located, buildId: string): string | null {
  switch (kind) {
    case "pages":
      return `/_next/data/${buildId}${pagePath(name)}.json`;
    case "app-page":
      return `${pagePath(name)}.rsc`;
    case "app-route":
      return null;
  }
}
