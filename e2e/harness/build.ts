import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Bundler, NEXT_COMMAND, NEXT_FOLDER, VERSION, type Version } from "./next.ts";
import { Origin } from "./origin.ts";
import { APPS, OUT, ROOT } from "./paths.ts";
import { Program } from "./program.ts";
import { makeFolder, removeFolder } from "./reap.ts";

const BUILD_TIMEOUT_MS = 180_000;
const OLD_MS = 10 * 60_000;
const BUILDS = path.join(OUT, "builds");

/**
 * An app, by the name of its folder. `plain`: everything that every version has; `cached`: what `'use cache'` keeps, since
 * 15. The others have what needs a configuration of its own, and the lib of `plain`.
 */
export type AppName = "plain" | "cached" | "zone" | "edge" | "typed";

/** The apps that are built before the tests of a version. */
export function appsOf(version: Version): AppName[] {
  return version === "next14" ? ["plain"] : ["plain", "cached"];
}

const LIB = path.join(APPS, "plain", "lib");

/**
 * The folder of an app's build: its sources with the output of `next build`. Built if there is none of the present
 * sources, by this run's Next.js and with the app's own configuration, that is with the handler, and without any daemon.
 * The bundler is the version's own if none is named.
 */
export async function buildOf(app: AppName, bundler?: Bundler): Promise<string> {
  const prefix = prefixOf(app, bundler);
  const folder = path.join(BUILDS, `${prefix}${await hashOf(app)}`);
  if (existsSync(folder)) {
    await makeYoung(path.join(folder, ".next"));
    return folder;
  }
  const draft = `${folder}.draft-${process.pid}`;
  await makeFolder(draft);
  await copySources(app, draft);
  const origin = await Origin.start();
  try {
    const args = bundler ? [`--${bundler}`] : [];
    await build({ folder: draft, name: `build-${prefix}app`, env: { ORIGIN_URL: origin.url }, args });
  } finally {
    await origin.stop();
  }
  await rm(path.join(draft, ".next", "cache"), { recursive: true, force: true }); // its working files; no image has them
  await removeBuilds(prefix);
  await rename(draft, folder);
  removeFolder(draft); // by now only its name
  return folder;
}

/** Its pages live for an hour, so a build that was kept for long is used as if it had just been made. */
async function makeYoung(output: string): Promise<void> {
  const { mtimeMs } = await stat(path.join(output, "BUILD_ID"));
  if (Date.now() - mtimeMs < OLD_MS) return;
  await setTimes(output, new Date());
}

async function setTimes(folder: string, time: Date): Promise<void> {
  for (const file of await filesIn(folder)) await utimes(file, time, time);
}

/** Copies the sources of an app, so that nothing is ever built among them. */
export async function copySources(app: AppName, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(path.dirname(folder), { recursive: true });
  const generated = new Set([".next", "node_modules"]);
  await cp(LIB, path.join(folder, "lib"), { recursive: true });
  await cp(path.join(APPS, app), folder, {
    recursive: true,
    filter: (source) => !generated.has(path.basename(source)),
  });
  // Where the version's dependencies are its own and not the workspace's.
  const own = path.join(NEXT_FOLDER, "node_modules");
  if (existsSync(own)) await symlink(own, path.join(folder, "node_modules"));
}

/** Runs `next build` in a folder that has the sources of an app. Returns its output. */
export async function build(options: {
  folder: string;
  name: string;
  env: NodeJS.ProcessEnv;
  args?: readonly string[];
}): Promise<string> {
  const { folder, name, env } = options;
  const args = [NEXT_COMMAND, "build", ...(options.args ?? [])];
  const program = new Program({ name, command: process.execPath, args, cwd: folder, env });
  const timer = setTimeout(() => program.signal("SIGKILL"), BUILD_TIMEOUT_MS);
  const how = await program.exited;
  clearTimeout(timer);
  if (how !== "exited with 0") throw program.failure(`${how} (it may take ${BUILD_TIMEOUT_MS} ms)`);
  return program.output;
}

/** Clocks differ: what was built within a minute of a revalidation counts as older than that. */
const CLEARLY_LATER_MS = 90_000;

/**
 * Makes another build of one, as if the same sources had been built again, and that well after anything that has happened
 * so far: another BUILD_ID, wherever it is, and newer files. It takes no half minute as `next build` does.
 */
export async function rebuild(folder: string, buildId: string): Promise<void> {
  const output = path.join(folder, ".next");
  const old = (await readFile(path.join(output, "BUILD_ID"), "utf8")).trim();
  const built = new Date(Date.now() + CLEARLY_LATER_MS);
  await rename(path.join(output, "static", old), path.join(output, "static", buildId));
  for (const file of await filesIn(output)) {
    const text = await readFile(file, "latin1"); // whatever it is, its bytes stay the same
    if (text.includes(old)) await writeFile(file, text.replaceAll(old, buildId), "latin1");
  }
  await setTimes(output, built);
}

/** The build's name is made of all that goes into it: sources, dependencies, and the Node.js that runs it. */
async function hashOf(app: AppName): Promise<string> {
  const hash = createHash("sha256").update(`${process.version} ${VERSION}`);
  hash.update(await readFile(path.join(ROOT, "package-lock.json")));
  for (const file of [...(await filesBelow(path.join(APPS, app))), ...(await filesBelow(LIB))]) {
    hash.update(`\0${path.relative(APPS, file)}\0`).update(await readFile(file));
  }
  return hash.digest("hex").slice(0, 16);
}

async function filesBelow(folder: string): Promise<string[]> {
  return (await filesIn(folder)).filter((file) => !/[\\/](\.next|node_modules)[\\/]/.test(file)).sort();
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

async function removeBuilds(prefix: string): Promise<void> {
  const names = await readdir(BUILDS);
  const old = names.filter((name) => name.startsWith(prefix) && !name.includes(".draft-"));
  await Promise.all(old.map((name) => rm(path.join(BUILDS, name), { recursive: true, force: true })));
}

/** What the builds of an app have their names begin with: those of other versions and bundlers stay. */
function prefixOf(app: AppName, bundler: Bundler | undefined): string {
  return `${VERSION}-${bundler ? `${bundler}-` : ""}${app}-`;
}
