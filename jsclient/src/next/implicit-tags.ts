import { createHash } from "node:crypto";
import { join } from "node:path";
import { readJson } from "./files.js";
import { parseRouteKey, type RouteKey, toRoute } from "./key-path.js";
import type { HostValue } from "./values.js";

const PREFIX = "_N_T_";

/** The pages of the Pages Router: patterns such as `/blog/[slug]`, and how a path is known to belong to one. */
export interface PagesRoutes {
  readonly patterns: readonly PagesRoute[];
  readonly locales: readonly string[];
}

interface PagesRoute {
  readonly pattern: string;
  /** The source by which a scoped key names the pattern. */
  readonly source: string;
  /** Of a pattern with parameters. */
  readonly regex: RegExp | undefined;
}

/** Whether a value is of the Pages Router, where Next.js gives entries no tags. A "not found" is of no other. */
export function isOfPagesRouter(value: HostValue | null): boolean {
  if (value === null || value.kind === "PAGES" || value.kind === "REDIRECT") return true;
  return value.kind === "PAGE" && typeof value.pageData === "object";
}

/**
 * The tags by which `revalidatePath` reaches a page of the Pages Router, made as Next.js makes them for those of the App
 * Router (server/lib/implicit-tags): of its path, of its pattern, and of the layouts that could be above it. Without them
 * `revalidatePath` has no effect on the Pages Router.
 */
export function implicitTagsOf(name: string, routes: PagesRoutes): string[] {
  const key = parseRouteKey(name);
  const located = toRoute(key.path);
  const path = withoutLocale(located, routes.locales);
  const pattern = patternOf(key, path, routes);
  const paths = [path, located].flatMap((one) => (one === "/" ? ["/", "/index"] : [one]));
  const marked = paths.flatMap((one) => [one, encoded(one, encodeURI)]);
  if (pattern !== undefined) {
    const segments = pattern === "/" ? [] : pattern.split("/").slice(1);
    for (let depth = 0; depth <= segments.length; depth += 1) {
      marked.push(`${["", ...segments.slice(0, depth)].join("/")}/layout`);
    }
    marked.push(`${["", ...segments].join("/")}/page`);
  }
  const spelled = marked.flatMap((one) => [one, encoded(one, headerSafe)]);
  return [...new Set(spelled)].map((one) => PREFIX + one);
}

/** Keys have paths decoded; in a call of `revalidatePath` they are as somebody has written them. */
function encoded(path: string, encode: (path: string) => string): string {
  try {
    return encode(path);
  } catch {
    return path; // no Unicode: nobody could have written it otherwise
  }
}

/** Since 16 tags are encoded where a header could not have them. */
function headerSafe(text: string): string {
  return text.replace(/[^\t\x20-\x7e]+/g, encodeURIComponent);
}

function patternOf({ owner }: RouteKey, path: string, { patterns }: PagesRoutes): string | undefined {
  const exact = patterns.find(({ pattern, source }) => (owner ? source === owner.source : pattern === path));
  if (exact || owner) return exact?.pattern;
  return patterns.find(({ regex }) => regex?.test(path))?.pattern;
}

function withoutLocale(path: string, locales: readonly string[]): string {
  const [, first = ""] = path.split("/", 2);
  if (!locales.some((locale) => locale.toLowerCase() === first.toLowerCase())) return path;
  return path.slice(first.length + 1) || "/";
}

/** Reads the pages of a build. What cannot be read has none: their entries then have the tags of their paths only. */
export function findPagesRoutes(distDir: string | undefined): PagesRoutes {
  const read = (file: string): unknown => distDir && readJson(join(/* turbopackIgnore: true */ distDir, file));
  const pages = read("server/pages-manifest.json") as Record<string, string> | undefined;
  const routes = read("routes-manifest.json") as RoutesManifest | undefined;
  const describe = (pattern: string, regex?: string): PagesRoute => {
    const source = createHash("sha256").update(pattern).digest("hex");
    return { pattern, source, regex: regex === undefined ? undefined : new RegExp(regex) };
  };
  const names = new Set(Object.keys(pages ?? {}));
  // Patterns with parameters in the order in which Next.js matches them; this manifest has those of both routers.
  const dynamic = routes?.dynamicRoutes?.filter(({ page }) => names.delete(page)) ?? [];
  const patterns = [...names].map((name) => describe(name));
  patterns.push(...dynamic.map(({ page, regex }) => describe(page, regex)));
  return { patterns, locales: routes?.i18n?.locales ?? [] };
}

interface RoutesManifest {
  readonly dynamicRoutes?: readonly { readonly page: string; readonly regex: string }[];
  readonly i18n?: { readonly locales?: readonly string[] };
}
