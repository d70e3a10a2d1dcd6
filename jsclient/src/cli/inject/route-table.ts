import type { BuildOutput, DynamicRoute, I18n, PrerenderManifest } from "./manifests.js";
import type { AppPath } from "./paths.js";

/** What answers at a route. */
export type RouteKind = "pages" | "app-page" | "app-route";

/** A route whose paths may be written into the manifest. */
export interface Route {
  /** As the manifests name it: `/blog/[slug]`. */
  readonly pattern: string;
  readonly kind: RouteKind;
  /** Its line among the manifest's `dynamicRoutes`. */
  readonly line: DynamicRoute;
}

/** Why a path of a route may not be written. */
export type RouteRefusal = "no-route" | "static" | "dynamic" | "closed" | "ppr" | "unclear" | "no-locale";

/** A path with its route: what it is called in the manifest. */
export interface Located {
  readonly route: Route;
  /** With the locale, where the Pages Router has some. */
  readonly name: string;
}

/** Next.js's choice of the route for a path, as the manifests of a build have it. */
export class RouteTable {
  readonly #dynamic: readonly { readonly pattern: string; readonly regex: RegExp; readonly to: Route | RouteRefusal }[];
  readonly #static: ReadonlySet<string>;
  readonly #patterns: ReadonlySet<string>;
  readonly #i18n: I18n | undefined;
  readonly #defaultLocale: string | undefined;

  /** `defaultLocale` is that of paths without one, if it is not the build's own. */
  constructor(output: BuildOutput, prerender: PrerenderManifest, defaultLocale?: string) {
    const { dynamicRoutes, staticRoutes = [], i18n } = output.routes;
    const modules = appModules(output.app);
    this.#dynamic = dynamicRoutes.map(({ page, regex }) => ({
      pattern: page,
      regex: new RegExp(regex),
      to: judge(page, prerender.dynamicRoutes[page], kindOf(page, output, modules)),
    }));
    this.#patterns = new Set(this.patterns);
    this.#static = new Set(staticRoutes.map(({ page }) => page));
    this.#i18n = i18n ?? undefined;
    this.#defaultLocale = defaultLocale ?? i18n?.defaultLocale;
  }

  /** The patterns of all routes with parameters. */
  get patterns(): readonly string[] {
    return this.#dynamic.map(({ pattern }) => pattern);
  }

  /** Finds the route of a path. `locale` is that of the path, if it names none itself and another source tells. */
  locate(path: AppPath, locale?: string): Located | RouteRefusal {
    const own = this.#i18n && splitLocale(path, this.#i18n);
    const bare = own?.path ?? path;
    if (this.#static.has(bare.name)) return "static";
    if (this.#patterns.has(bare.name)) return "no-route"; // the key of a fallback, which all paths of the route share
    const found = this.#dynamic.find(({ regex }) => regex.test(bare.request) || regex.test(bare.name));
    if (!found) return "no-route";
    if (typeof found.to === "string") return found.to;
    if (!this.#i18n || found.to.kind !== "pages") {
      // The App Router knows no locales: with one, the path is of a route that has it as a parameter, or of none.
      return own?.locale === undefined ? { route: found.to, name: bare.name } : "no-locale";
    }
    const prefix = `/${own?.locale ?? locale ?? this.#defaultLocale}`;
    return { route: found.to, name: bare.name === "/" ? prefix : `${prefix}${bare.name}` };
  }
}

/** Whether a path of the route may be written, and else why not. */
function judge(pattern: string, line: DynamicRoute | undefined, kind: RouteKind | undefined): Route | RouteRefusal {
  if (!line) return "dynamic"; // rendered for each request; an entry would make a page of the App Router a static one
  if (line.fallback === false) return "closed"; // an entry would admit what is a 404 now
  if (isPartial(line)) return "ppr";
  return kind ? { pattern, kind, line } : "unclear";
}

/** Partial prerendering keeps shells, by other fields and other files. */
function isPartial(line: DynamicRoute): boolean {
  return line["renderingMode"] === "PARTIALLY_STATIC" || Boolean(line["experimentalPPR"]);
}

/** The modules of the App Router by route, without parallel ones: `/blog/[slug]` has `page` or `route`. */
function appModules(app: BuildOutput["app"]): ReadonlyMap<string, RouteKind> {
  const kinds = new Map<string, RouteKind>();
  for (const [module, route] of Object.entries(app)) {
    if (module.endsWith("/route")) kinds.set(route, "app-route");
    else if (module.endsWith("/page")) kinds.set(route, "app-page");
  }
  return kinds;
}

/** `dataRoute` does not tell in 14.2: there the pattern of a route handler has one. */
function kindOf(pattern: string, output: BuildOutput, modules: ReadonlyMap<string, RouteKind>): RouteKind | undefined {
  const app = modules.get(pattern);
  const pages = Object.hasOwn(output.pages, pattern) ? "pages" : undefined;
  return app && pages ? undefined : (app ?? pages);
}

/** Takes the locale from the beginning of a path; it may be written in any case. */
function splitLocale(path: AppPath, { locales }: I18n): { path: AppPath; locale: string | undefined } {
  const first = path.name.split("/")[1]?.toLowerCase();
  const locale = locales.find((known) => known.toLowerCase() === first);
  if (locale === undefined) return { path, locale };
  const without = (text: string): string =>
    text.slice(text.indexOf("/", 1) === -1 ? text.length : text.indexOf("/", 1));
  return { path: { name: without(path.name) || "/", request: without(path.request) || "/" }, locale };
}
