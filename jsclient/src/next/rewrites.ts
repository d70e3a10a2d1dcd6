/** What of an app's routing decides whether Next.js passes a request on to another host, with all of its headers. */
export interface Rewrites {
  /** Rewrites that lead to other hosts, by when Next.js looks at them. Those that no job's request can meet are left out. */
  readonly beforeFiles: readonly RegExp[];
  readonly afterFiles: readonly RegExp[];
  readonly fallback: readonly RegExp[];
  /** Pages without parameters: they come before `afterFiles`. */
  readonly pages: readonly RegExp[];
  /** Pages with parameters: they come before `fallback`. */
  readonly patterns: readonly RegExp[];
  /** Those of them that have no other paths than `prerendered` (`fallback: false`, `dynamicParams = false`). */
  readonly closed: readonly RegExp[];
  readonly prerendered: ReadonlySet<string>;
}

/** What this needs of `routes-manifest.json`. */
export interface RoutesManifest {
  readonly rewrites?: readonly Rewrite[] | Stages;
  readonly staticRoutes?: readonly Page[];
  readonly dynamicRoutes?: readonly Page[];
}

/** What this needs of `prerender-manifest.json`. */
export interface PrerenderManifest {
  readonly routes?: Record<string, unknown>;
  readonly dynamicRoutes?: Record<string, { readonly fallback?: string | false | null }>;
}

interface Stages {
  readonly beforeFiles?: readonly Rewrite[];
  readonly afterFiles?: readonly Rewrite[];
  readonly fallback?: readonly Rewrite[];
}

interface Page {
  readonly page: string;
  readonly regex: string;
}

interface Rewrite {
  readonly destination: string;
  readonly regex: string;
  readonly has?: readonly Condition[];
}

interface Condition {
  readonly type: string;
  readonly key?: string;
  readonly value?: string;
}

/** Undefined: no rewrite leads to another host. */
export function findRewrites(routes: RoutesManifest, prerender: PrerenderManifest): Rewrites | undefined {
  const { rewrites = [], staticRoutes = [], dynamicRoutes = [] } = routes;
  const stages = Array.isArray(rewrites) ? { afterFiles: rewrites as Rewrite[] } : (rewrites as Stages);
  const outside = (rules: readonly Rewrite[] = []): RegExp[] => {
    return rules.filter(({ destination, has = [] }) => isOutside(destination) && has.every(canHold)).map(regexOf);
  };
  const found = {
    beforeFiles: outside(stages.beforeFiles),
    afterFiles: outside(stages.afterFiles),
    fallback: outside(stages.fallback),
  };
  if (Object.values(found).every((rules) => rules.length === 0)) return undefined;
  const isClosed = ({ page }: Page): boolean => prerender.dynamicRoutes?.[page]?.fallback === false;
  return {
    ...found,
    pages: staticRoutes.map(regexOf),
    patterns: dynamicRoutes.filter((page) => !isClosed(page)).map(regexOf),
    closed: dynamicRoutes.filter(isClosed).map(regexOf),
    prerendered: new Set(Object.keys(prerender.routes ?? {})),
  };
}

/**
 * Whether a request may be passed on. Where that cannot be told for sure, it may. `paths` are the ways in which rules may
 * have the path: with and without basePath and locale; `page` is without either.
 */
export function leadsOutside(rewrites: Rewrites, paths: readonly string[], page: string): boolean {
  const { beforeFiles, afterFiles, fallback, pages, patterns, closed, prerendered } = rewrites;
  const spellings = [...new Set([...paths, page].flatMap((path) => [path, decoded(path)]))];
  const matches = (rules: readonly RegExp[]): boolean =>
    rules.some((rule) => spellings.some((path) => rule.test(path)));
  const isPage = (rules: readonly RegExp[]): boolean => rules.some((rule) => rule.test(page));
  if (matches(beforeFiles)) return true;
  if (isPage(pages)) return false;
  if (matches(afterFiles)) return true;
  if (isPage(patterns)) return false;
  if (isPage(closed) && spellings.some((path) => prerendered.has(path))) return false;
  return matches(fallback);
}

function isOutside(destination: string): boolean {
  return !/^\/(?!\/)/.test(destination);
}

/** Names of headers that the request of a job has, or that Next.js adds. */
const SENT =
  /^(?:host|connection|accept|accept-encoding|user-agent|x-prerender-.*|x-isrd-job|x-forwarded-.*|x-nextjs-data)$/i;

/** Whether the request of a job can meet a condition: it goes to localhost, and has neither cookies nor a query. */
function canHold({ type, key = "", value }: Condition): boolean {
  switch (type) {
    case "cookie":
    case "query":
      return false;
    case "header":
      return SENT.test(key);
    case "host":
      return value === undefined || regexOf({ regex: `^${value}$` }).test("localhost");
    default:
      return true;
  }
}

/** Next.js does not look at the case of letters. What is no expression here may match anything. */
function regexOf({ regex }: { readonly regex: string }): RegExp {
  try {
    return new RegExp(regex, "i");
  } catch {
    return /(?:)/;
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
