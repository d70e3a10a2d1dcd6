// Builds the shop once: the build is kept and used again as long as nothing that goes into it has changed.
import { createHash } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { childEnvironment, DemoError, start } from "./processes.mjs";
import { within } from "./within.mjs";

const require = createRequire(import.meta.url);
const demo = path.dirname(fileURLToPath(import.meta.url));

/** The shop's folder; its build output is in `.next` below. */
export const SHOP = path.join(demo, "shop");

/** The repository's root. */
export const ROOT = path.dirname(demo);

const STAMP = path.join(SHOP, ".next", "demo-build.json");
const BUILD_TIMEOUT_MS = 5 * 60_000;

/** @returns {string} the file that `node` runs for the `next` command */
export function nextCommand() {
  try {
    return require.resolve("next/dist/bin/next");
  } catch {
    throw new DemoError("Next.js is not installed: run `npm ci` in the root of the repository");
  }
}

/** @returns {string} the version of the installed Next.js */
export function nextVersion() {
  return require("next/package.json").version;
}

/**
 * Makes sure that the shop is built from the present sources.
 *
 * @param {object} options
 * @param {string} options.originUrl where the build fetches from
 * @param {string} options.logFile
 * @param {AbortSignal} options.signal
 * @returns {Promise<'built' | 'kept'>}
 */
export async function buildShop({ originUrl, logFile, signal }) {
  const sources = await sourcesHash();
  if ((await readStamp()) === sources) return "kept";
  await rm(path.join(SHOP, ".next"), { recursive: true, force: true });
  const build = start({
    name: "`next build`",
    command: process.execPath,
    args: [nextCommand(), "build"],
    cwd: SHOP,
    env: childEnvironment({ SHOP_ORIGIN: originUrl }),
    logFile,
  });
  const how = await within(BUILD_TIMEOUT_MS, () => build.exited, signal).catch((error) => {
    build.kill("SIGKILL");
    signal.throwIfAborted();
    throw error.name === "TimeoutError" ? build.failure(`has not ended after ${BUILD_TIMEOUT_MS / 1000} s`) : error;
  });
  if (how !== "exited with code 0") throw build.failure(how);
  await writeFile(STAMP, JSON.stringify({ sources }));
  return "built";
}

/** @returns {Promise<string | undefined>} the hash that the present build was made from */
async function readStamp() {
  try {
    return JSON.parse(await readFile(STAMP, "utf8")).sources;
  } catch {
    return undefined; // none, or half of one
  }
}

/** @returns {Promise<string>} a hash over all that goes into a build */
async function sourcesHash() {
  const hash = createHash("sha256").update(
    `${nextVersion()} ${require("react/package.json").version} ${process.version}`,
  );
  const files = ["catalogue.mjs", "pages.mjs", "random.mjs", ...(await filesBelow("shop"))];
  for (const file of files.sort()) hash.update(`\0${file}\0`).update(await readFile(path.join(demo, file)));
  return hash.digest("hex");
}

/**
 * @param {string} folder relative to the demo
 * @returns {Promise<string[]>} its source files, relative to the demo
 */
async function filesBelow(folder) {
  const entries = await readdir(path.join(demo, folder), { withFileTypes: true });
  const nested = entries
    .filter(({ name }) => name !== ".next" && name !== "node_modules")
    .map((entry) =>
      entry.isDirectory() ? filesBelow(path.join(folder, entry.name)) : [path.join(folder, entry.name)],
    );
  return (await Promise.all(nested)).flat();
}
