import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import type { Log } from "../log.js";
import { readJson, readText } from "./files.js";
import type { LoadNext } from "./telling.js";

/** What a process serves. */
export interface ServedBuild {
  readonly app: string;
  readonly build: { readonly buildId: string; readonly deploymentId: string };
  /** The version of Next.js, for people; empty if it cannot be found. */
  readonly nextVersion: string;
  /** The secret that on-demand revalidations carry; it never leaves the process. Undefined if it cannot be found. */
  readonly previewId: string | undefined;
}

/** Where there is no name to be found. Apps that share it share their fetches. */
const NAMELESS_APP = "app";

/**
 * Finds out what this process serves. The build comes from the build output beside `serverDistDir`; the app from
 * ISRD_APP, else from the `name` of the nearest package.json.
 *
 * Reads a few small files; once per process. What cannot be found is empty, and said in a warning where it matters.
 */
export function findServedBuild(
  serverDistDir: string | undefined,
  env: NodeJS.ProcessEnv,
  log: Log,
  load: LoadNext,
): ServedBuild {
  const distDir = serverDistDir === undefined ? undefined : dirname(serverDistDir);
  const buildId = (distDir && readText(join(distDir, "BUILD_ID"))?.trim()) ?? "";
  if (buildId === "") log.warn("there is no BUILD_ID beside the server: pages of different builds are not kept apart");
  return {
    app: findApp(distDir ?? process.cwd(), env, log),
    build: { buildId, deploymentId: findDeploymentId(distDir, env) },
    nextVersion: findNextVersion(load),
    previewId: distDir && findPreviewId(distDir),
  };
}

/** Loads modules of Next.js as the app's server would, whose copy may be another than the nearest to this package. */
export function nextLoader(serverDistDir: string | undefined): LoadNext {
  const require = createRequire(join(serverDistDir ?? process.cwd(), "x.js"));
  return (path) => require(path);
}

/**
 * Where the process's Next.js has its build output, for callers that are not told: in the directory that `next start` was
 * given, else in the current one; a standalone server has its configuration in a variable. Undefined if none is there.
 */
export function guessServerDistDir(
  env: NodeJS.ProcessEnv,
  argv: readonly string[],
  directory: string,
): string | undefined {
  const given = argv[2] === "start" ? argv.slice(3).find((word) => !word.startsWith("-")) : undefined;
  const directories = [...(given === undefined ? [] : [resolve(directory, given)]), directory];
  const found = directories.map((at) => join(/* turbopackIgnore: true */ at, distDirOf(env))).find((at) => isBuild(at));
  return found === undefined ? undefined : join(found, "server");
}

function isBuild(distDir: string): boolean {
  return readText(join(distDir, "BUILD_ID")) !== undefined;
}

function distDirOf(env: NodeJS.ProcessEnv): string {
  try {
    const distDir = field(JSON.parse(env["__NEXT_PRIVATE_STANDALONE_CONFIG"] ?? "null"), "distDir");
    return typeof distDir === "string" ? distDir : ".next";
  } catch {
    return ".next";
  }
}

function findNextVersion(load: LoadNext): string {
  try {
    const version = field(load("next/package.json"), "version");
    return typeof version === "string" ? version : "";
  } catch {
    return "";
  }
}

/** Since 16.4 it has a file of its own; before, it is in a manifest that grows with the number of pages. */
function findPreviewId(distDir: string): string | undefined {
  const ownFile = readJson(join(distDir, "server", "preview-props.json"));
  const props = ownFile ?? field(readJson(join(distDir, "prerender-manifest.json")), "preview");
  const id = field(props, "previewModeId");
  return typeof id === "string" && id !== "" ? id : undefined;
}

/** The app's name: ISRD_APP, else the `name` of the nearest package.json, from a directory upwards. */
export function findApp(from: string, env: NodeJS.ProcessEnv, log: Log): string {
  return env["ISRD_APP"]?.trim() || findName(from, log);
}

function findName(from: string, log: Log): string {
  const name = nameAbove(from) ?? nameAbove(process.cwd());
  if (name !== undefined) return name;
  log.warn(`the app has no name: set ISRD_APP, or "name" in package.json; until then it is "${NAMELESS_APP}"`);
  return NAMELESS_APP;
}

/** The nearest package.json decides, as it does for Node; but a build output has one of its own, without a name. */
function nameAbove(from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const name = field(readJson(join(directory, "package.json")), "name");
    if (typeof name === "string" && name !== "") return name;
    if (dirname(directory) === directory) return undefined;
  }
}

/**
 * Next.js puts the deployment's id into NEXT_DEPLOYMENT_ID when its server starts (also the one of its configuration);
 * where it is not there yet, it is in the build output: since 16 in the routes manifest, before that in the
 * configuration that the build wrote down.
 */
function findDeploymentId(distDir: string | undefined, env: NodeJS.ProcessEnv): string {
  const given = env["NEXT_DEPLOYMENT_ID"];
  if (given || distDir === undefined) return given ?? "";
  const inRoutes = field(readJson(join(distDir, "routes-manifest.json")), "deploymentId");
  const config = field(readJson(join(distDir, "required-server-files.json")), "config");
  const found = inRoutes ?? field(config, "deploymentId");
  return typeof found === "string" ? found : "";
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
