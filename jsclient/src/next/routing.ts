import { join } from "node:path";
import { readJson } from "./files.js";
import { findRewrites, leadsOutside, type PrerenderManifest, type Rewrites, type RoutesManifest } from "./rewrites.js";

/** What of an app's routing decides how a path of it is requested. */
export interface Routing {
  readonly buildId: string;
  /** Such as `/docs`; empty if there is none. */
  readonly basePath: string;
  readonly trailingSlash: boolean;
  readonly locales: readonly string[];
  readonly defaultLocale: string;
  /** Pages of the Pages Router with `fallback: true`, by the patterns of their paths without locale. */
  readonly shells: readonly RegExp[];
  /** Undefined if none leads to another host. */
  readonly rewrites: Rewrites | undefined;
}

/** Reads it from a build's output. What cannot be read is as in an app without it. */
export function findRouting(distDir: string | undefined, buildId: string): Routing {
  const read = (file: string): unknown => (distDir === undefined ? undefined : readJson(join(distDir, file)));
  const { config } = (read("required-server-files.json") ?? {}) as { config?: Partial<HostConfig> };
  const prerender = (read("prerender-manifest.json") ?? {}) as { dynamicRoutes?: Record<string, DynamicRoute> };
  return {
    buildId,
    basePath: config?.basePath ?? "",
    trailingSlash: config?.trailingSlash === true,
    locales: config?.i18n?.locales ?? [],
    defaultLocale: config?.i18n?.defaultLocale ?? "",
    shells: Object.values(prerender.dynamicRoutes ?? {}).flatMap(shellOf),
    rewrites: findRewrites((read("routes-manifest.json") ?? {}) as RoutesManifest, prerender as PrerenderManifest),
  };
}

interface HostConfig {
  readonly basePath: string;
  readonly trailingSlash: boolean;
  readonly i18n: { readonly locales: string[]; readonly defaultLocale: string } | null;
}

interface DynamicRoute {
  readonly routeRegex?: string;
  readonly dataRoute?: string | null;
  readonly fallback?: string | false | null;
}

/** Routes of the App Router have data too, but it is not JSON. */
function shellOf({ routeRegex, dataRoute, fallback }: DynamicRoute): RegExp[] {
  if (routeRegex === undefined || typeof fallback !== "string" || !dataRoute?.endsWith(".json")) return [];
  try {
    return [new RegExp(routeRegex)];
  } catch {
    return [];
  }
}

/**
 * What to request for a path so that Next.js renders it: with basePath, in the form that is not redirected, and encoded as
 * a browser does. For a page with `fallback: true` it is the page's data: for the page itself Next.js answers with the
 * shell of one that was never rendered, and says that it was revalidated. The data is of the same entry.
 */
export function toRequestPath(path: string, routing: Routing): string {
  const { buildId, basePath, trailingSlash, locales, defaultLocale, shells } = routing;
  const { plain, locale, page } = split(path, locales);
  if (shells.some((shell) => shell.test(page))) {
    const prefix = locales.length > 0 ? `/${locale ?? defaultLocale}` : "";
    const data = prefix + (page === "/" ? "" : page) || "/index";
    return `${basePath}/_next/data/${encodeURIComponent(buildId)}${data}.json`;
  }
  const isFile = /\.[^/]+$/.test(plain);
  const asIs = plain === "/" && basePath !== "" ? "" : plain;
  const slash = trailingSlash && !isFile && !asIs.endsWith("/") ? "/" : "";
  return `${basePath}${asIs}${slash}`;
}

/**
 * Whether Next.js may pass the request for a path on to another host, by a rewrite. It would do so with all headers, and
 * the secret of the build among them.
 */
export function leavesHost(path: string, { basePath, locales, defaultLocale, rewrites }: Routing): boolean {
  if (!rewrites) return false;
  return leadsOutside(rewrites, path, (one) => {
    const below = basePath !== "" && `${one}/`.startsWith(`${basePath}/`) ? one.slice(basePath.length) : one;
    const { plain, locale = defaultLocale, page } = split(below, locales);
    const paths = [plain, ...(locales.length > 0 ? [`/${locale}${page === "/" ? "" : page}`] : [])];
    return { paths: [...paths, ...paths.map((form) => basePath + form)], page };
  });
}

/** A path as it is requested, and what it has of a locale. */
function split(path: string, locales: readonly string[]): { plain: string; locale: string | undefined; page: string } {
  const plain = encodePath(path).replace(/\/+$/, "") || "/";
  const [, first = ""] = plain.split("/");
  const locale = locales.find((name) => name.toLowerCase() === first.toLowerCase());
  return { plain, locale, page: locale === undefined ? plain : plain.slice(first.length + 1) || "/" };
}

/** As in a browser's address bar: what is encoded stays so. */
export function encodePath(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}|%|[^%]+/g, (piece) => {
    if (piece.length === 3 && piece.startsWith("%")) return piece;
    return encodeURI(piece).replace(/[?#]/g, encodeURIComponent);
  });
}
