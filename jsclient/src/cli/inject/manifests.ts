import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { messageOf } from "../../errors.js";
import { Failure } from "../failure.js";

/** A path in a prerender manifest. There are more fields than these, and they differ between versions. */
export interface PrerenderedRoute {
  readonly initialRevalidateSeconds?: number | false;
  readonly initialExpireSeconds?: number | undefined;
  readonly srcRoute: string | null;
  readonly dataRoute: string | null;
  readonly [field: string]: unknown;
}

/** A route with parameters in a prerender manifest: one that is rendered once per path and then kept. */
export interface DynamicRoute {
  /** `false`: only what the build has rendered is there. */
  readonly fallback?: string | null | false;
  readonly [field: string]: unknown;
}

/** `.next/prerender-manifest.json`. Read once by each process of Next.js, when it starts. */
export interface PrerenderManifest {
  readonly routes: Readonly<Record<string, PrerenderedRoute>>;
  readonly dynamicRoutes: Readonly<Record<string, DynamicRoute>>;
  readonly notFoundRoutes?: readonly string[];
  readonly [field: string]: unknown;
}

/** `.next/routes-manifest.json`. */
export interface RoutesManifest {
  readonly basePath?: string;
  readonly i18n?: I18n | null;
  /** In the order in which they are tried. */
  readonly dynamicRoutes: readonly { readonly page: string; readonly regex: string }[];
  readonly staticRoutes?: readonly { readonly page: string }[];
}

/** Locales of the Pages Router. */
export interface I18n {
  readonly locales: readonly string[];
  readonly defaultLocale: string;
  readonly domains?: readonly { readonly domain: string; readonly defaultLocale: string }[];
}

/** What `next build` has left in its output folder. */
export interface BuildOutput {
  /** The folder, `.next` usually. */
  readonly folder: string;
  readonly buildId: string;
  readonly routes: RoutesManifest;
  /** Pages of the Pages Router, by route. */
  readonly pages: Readonly<Record<string, string>>;
  /** Routes of the App Router, by module: `/blog/[slug]/page`, `/feed/route`. */
  readonly app: Readonly<Record<string, string>>;
  /** The `expireTime` that the build was made with; none where the version has no such thing. */
  readonly expireTime: number | undefined;
}

export const PRERENDER_MANIFEST = "prerender-manifest.json";

/** Finds the build output in a project's folder, or takes it if it is given itself. */
export function findOutput(folder: string): string {
  const own = path.join(folder, ".next");
  const found = [own, folder].find((candidate) => existsSync(path.join(candidate, PRERENDER_MANIFEST)));
  if (found) return found;
  const hint = existsSync(own) ? `${own} has no ${PRERENDER_MANIFEST}` : `${folder} has no .next`;
  throw new Failure(`${hint}: run \`next build\` first, or name the project, or its output, with --dir`);
}

/** Reads all of the build output but its prerender manifest. */
export async function readOutput(folder: string): Promise<BuildOutput> {
  const [buildId, routes, pages, app, required] = await Promise.all([
    readFile(path.join(folder, "BUILD_ID"), "utf8").catch((error: unknown) => {
      throw new Failure(`the build in ${folder} is not complete: ${messageOf(error)}; run \`next build\` again`);
    }),
    readJson(path.join(folder, "routes-manifest.json")),
    readJsonIfThere(path.join(folder, "server", "pages-manifest.json")),
    readJsonIfThere(path.join(folder, "app-path-routes-manifest.json")),
    readJsonIfThere(path.join(folder, "required-server-files.json")),
  ]);
  const config = required["config"] as { expireTime?: unknown } | undefined;
  return {
    folder,
    buildId: buildId.trim(),
    routes: asRoutes(routes, folder),
    pages: pages as Record<string, string>,
    app: app as Record<string, string>,
    expireTime: typeof config?.expireTime === "number" ? config.expireTime : undefined,
  };
}

/** Takes a prerender manifest's text apart. */
export function parsePrerender(text: string, file: string): PrerenderManifest {
  const manifest = parseObject(text, file) as unknown as PrerenderManifest;
  if (isObject(manifest.routes) && isObject(manifest.dynamicRoutes)) return manifest;
  throw new Failure(`${file} has no "routes" and "dynamicRoutes": it is not a prerender manifest that isrd knows`);
}

function asRoutes(routes: Record<string, unknown>, folder: string): RoutesManifest {
  if (Array.isArray(routes["dynamicRoutes"])) return routes as unknown as RoutesManifest;
  throw new Failure(`routes-manifest.json in ${folder} has no "dynamicRoutes": it is not one that isrd knows`);
}

async function readJson(file: string): Promise<Record<string, unknown>> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new Failure(`the build is not complete: ${messageOf(error)}; run \`next build\` again`);
  });
  return parseObject(text, file);
}

/** A build without a router lacks that router's manifest. */
function readJsonIfThere(file: string): Promise<Record<string, unknown>> {
  return existsSync(file) ? readJson(file) : Promise.resolve({});
}

function parseObject(text: string, file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch (error) {
    throw new Failure(`${file} is not JSON (${messageOf(error)}): run \`next build\` again`);
  }
  throw new Failure(`${file} is not a JSON object: run \`next build\` again`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
