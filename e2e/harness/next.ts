import { createRequire } from "node:module";
import path from "node:path";
import { ROOT } from "./paths.ts";

/** The versions of Next.js that the tests run on, oldest first; each is a workspace with the React that it wants. */
export const VERSIONS = ["next14", "next15", "next16"] as const;

export type Version = (typeof VERSIONS)[number];

/** The version that this run is for: E2E_NEXT, the newest by default. */
export const VERSION: Version = versionFrom(process.env["E2E_NEXT"]);

function versionFrom(text: string | undefined): Version {
  if (!text) return "next16";
  const found = VERSIONS.find((version) => version === text);
  if (!found) throw new Error(`E2E_NEXT is "${text}": expected one of ${VERSIONS.join(", ")}`);
  return found;
}

/** Whether this run's version is that one or a later one. */
export function since(version: Version): boolean {
  return VERSIONS.indexOf(VERSION) >= VERSIONS.indexOf(version);
}

/** What `next build` can bundle with. */
export type Bundler = "webpack" | "turbopack";

const OTHER_BUNDLERS: Record<Version, Bundler | undefined> = {
  next14: undefined,
  next15: "turbopack",
  next16: "webpack",
};

/** The bundler that this run's version takes only when it is told to; none if there is no choice. */
export const OTHER_BUNDLER = OTHER_BUNDLERS[VERSION];

/** The folder of this run's version; what is not in its node_modules is in those of the repository. */
export const NEXT_FOLDER = path.join(ROOT, "versions", VERSION);

const resolver = createRequire(path.join(NEXT_FOLDER, "package.json"));

/** What `node` runs for the `next` command. */
export const NEXT_COMMAND = resolver.resolve("next/dist/bin/next");

/** The file that a configuration names as its cacheHandler. */
export function handlerFile(): string {
  return resolver.resolve("isrd/cache-handler");
}

/** The file that a worker imports before anything else, by NODE_OPTIONS. */
export function registerFile(): string {
  return resolver.resolve("isrd/register");
}
