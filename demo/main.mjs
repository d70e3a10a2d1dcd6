// The demo from its command line to its table.
import { access, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { buildShop, nextCommand, nextVersion, ROOT } from "./build.mjs";
import { planChange } from "./change.mjs";
import { figuresOf } from "./figures.mjs";
import { runLeg } from "./leg.mjs";
import { HELP, parseOptions } from "./options.mjs";
import { startOrigin } from "./origin.mjs";
import { allPages } from "./pages.mjs";
import { DemoError } from "./processes.mjs";
import { formatTable } from "./table.mjs";
import { planTraffic } from "./traffic.mjs";

const OUT = path.join(ROOT, "out", "demo");
const DAEMON = path.join(ROOT, "bin", "isrd");
const TITLES = Object.freeze({ disk: "Next.js's own cache", isrd: "isrd" });
const LAST_GRACE_MS = 3_000;
const EXIT_CODES = Object.freeze({ SIGINT: 130, SIGTERM: 143 });

/**
 * Runs the demo. SIGINT and SIGTERM stop everything it started, and so does the end of whoever reads stdout; a second
 * signal ends the process on the spot.
 *
 * @param {string[]} args
 * @param {NodeJS.WritableStream} stdout
 * @param {NodeJS.WritableStream} stderr
 * @returns {Promise<number>} the exit code
 */
export async function main(args, stdout, stderr) {
  const stopped = new AbortController();
  let code = 0;
  /**
   * @param {string} reason
   * @param {number} exitCode
   */
  const stop = (reason, exitCode) => {
    if (stopped.signal.aborted) process.exit(exitCode);
    code = exitCode;
    stopped.abort(new DemoError(`stopped by ${reason}`));
    setTimeout(() => process.exit(code), LAST_GRACE_MS).unref();
  };
  /** @param {"SIGINT" | "SIGTERM"} name */
  const onSignal = (name) => stop(name, EXIT_CODES[name]);
  /** @param {Error} error */
  const onClosed = (error) => stopped.signal.aborted || stop(error.message, 1);
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  stdout.on("error", onClosed);
  try {
    const options = parseOptions(args);
    if (options === "help") stdout.write(HELP);
    else await demo(options, (text) => stdout.write(`${text}\n`), stopped.signal);
    return code;
  } catch (error) {
    const shown = stopped.signal.aborted ? stopped.signal.reason : error;
    stderr.write(`demo: ${shown instanceof DemoError ? shown.message : (shown.stack ?? shown)}\n`);
    return code || 1;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    stdout.off("error", onClosed);
  }
}

/**
 * @param {import('./options.mjs').Options} options
 * @param {(text: string) => void} print
 * @param {AbortSignal} signal
 */
async function demo(options, print, signal) {
  await checkTools(options);
  await removeLeftovers();
  const dir = path.join(OUT, `run-${process.pid}`);
  await mkdir(dir, { recursive: true });
  const origin = await startOrigin({ seed: options.seed });
  try {
    print(`building the shop with Next.js ${nextVersion()} …`);
    const built = await buildShop({ originUrl: origin.url, logFile: path.join(dir, "build.log"), signal });
    print(built === "kept" ? "the shop has not changed since it was built" : "built");
    const results = await runLegs(options, { dir, origin, print, signal });
    print(`\n${formatTable(results)}`);
    const file = path.join(OUT, "result.json");
    await writeFile(file, `${JSON.stringify(report(options, results), null, 2)}\n`);
    print(`\nThe same as JSON: ${path.relative(process.cwd(), file)}`);
  } finally {
    await origin.close();
    if (options.keep) print(`kept: ${dir}`);
    else await rm(dir, { recursive: true, force: true });
  }
}

/**
 * @param {import('./options.mjs').Options} options
 * @param {{ dir: string, origin: import('./origin.mjs').Origin, print: (text: string) => void, signal: AbortSignal }} parts
 */
async function runLegs(options, { dir, origin, print, signal }) {
  const pages = allPages();
  const plan = planTraffic(pages, options);
  const events = { restart: Math.floor(plan.length * 0.35), change: Math.floor(plan.length * 0.65) };
  const change = planChange(plan.slice(events.change));
  const seconds = Math.round((plan.at(-1)?.dueMs ?? 0) / 1000);
  print(
    `${plan.length} requests to ${pages.length} pages in ${seconds} s, ${options.legs.length === 1 ? "once" : "twice"}`,
  );
  const results = [];
  for (const cache of options.legs) {
    print(`\n${TITLES[cache]}`);
    const leg = await runLeg({
      cache,
      dir: path.join(dir, cache),
      daemonBinary: DAEMON,
      origin,
      replicas: options.replicas,
      plan,
      change,
      events,
      report: (line) => print(`  ${line}`),
      signal,
    });
    const { observations, ...rest } = leg;
    results.push({ cache, title: TITLES[cache], figures: figuresOf(observations), ...rest });
  }
  return results;
}

/**
 * @param {import('./options.mjs').Options} options
 * @param {Awaited<ReturnType<typeof runLegs>>} results
 */
function report(options, results) {
  const [cpu] = os.cpus();
  return {
    at: new Date().toISOString(),
    machine: {
      cpus: os.cpus().length,
      model: cpu?.model ?? "",
      memoryBytes: os.totalmem(),
      platform: process.platform,
    },
    versions: { node: process.version, next: nextVersion() },
    options,
    legs: results,
  };
}

/** @param {import('./options.mjs').Options} options */
async function checkTools({ legs }) {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 9)) {
    throw new DemoError(
      `Node.js ${process.version} is too old for Next.js ${nextVersion()}: install 20.9 or later, such as by \`nvm install 22\``,
    );
  }
  nextCommand();
  if (!legs.includes("isrd")) return;
  for (const file of [DAEMON, path.join(ROOT, "jsclient", "dist", "cache-handler.js")]) {
    await access(file).catch(() => {
      throw new DemoError(`${path.relative(ROOT, file)} is missing: run \`make build\` in the root of the repository`);
    });
  }
}

/** Removes the folders of earlier demos that were killed. */
async function removeLeftovers() {
  const names = await readdir(OUT).catch(() => /** @type {string[]} */ ([]));
  for (const name of names) {
    const pid = Number(/^run-(\d+)$/.exec(name)?.[1]);
    if (pid && !isAlive(pid)) await rm(path.join(OUT, name), { recursive: true, force: true });
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}
