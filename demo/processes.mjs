// Child processes that cannot be left behind: each is the head of its own process group, and every group ends with us.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { within } from "./within.mjs";

const PORT_ATTEMPTS = 4;

/** @type {Set<Child>} */
const running = new Set();

// However this process ends (but for SIGKILL), nothing that it started stays.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** What went wrong, in words for the person at the terminal; printed without a stack. */
export class DemoError extends Error {
  name = "DemoError";
}

/**
 * Starts a program in its own process group, its output going to a file.
 *
 * @param {object} options
 * @param {string} options.name for messages
 * @param {string} options.command
 * @param {string[]} options.args
 * @param {string} options.cwd
 * @param {NodeJS.ProcessEnv} options.env all of its environment
 * @param {string} options.logFile is appended to
 * @returns {Child}
 */
export function start({ name, command, args, cwd, env, logFile }) {
  const log = openSync(logFile, "a");
  try {
    return new Child(name, logFile, spawn(command, args, { cwd, env, detached: true, stdio: ["ignore", log, log] }));
  } finally {
    closeSync(log);
  }
}

/** A started program. Made by start. */
export class Child {
  #process;
  #logFile;

  /**
   * @param {string} name
   * @param {string} logFile
   * @param {import('node:child_process').ChildProcess} child
   */
  constructor(name, logFile, child) {
    this.name = name;
    this.#logFile = logFile;
    this.#process = child;
    running.add(this);
    /** Resolves to how it ended, in words; never rejects. @type {Promise<string>} */
    this.exited = new Promise((resolve) => {
      child.once("error", (error) => resolve(`could not be started (${error.message})`));
      child.once("exit", (code, signal) => resolve(signal ? `was ended by ${signal}` : `exited with code ${code}`));
    });
    /** How it ended; undefined while it runs. @type {string | undefined} */
    this.ended = undefined;
    this.exited.then((how) => {
      this.ended = how;
      this.kill("SIGKILL"); // what it started itself and left behind
      running.delete(this);
    });
  }

  /** @returns {string} the last lines that it wrote */
  tail(lines = 20) {
    return readFileSync(this.#logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }

  /**
   * Signals the whole group; does nothing if it has gone.
   *
   * @param {NodeJS.Signals} signal
   */
  kill(signal) {
    if (this.#process.pid === undefined) return;
    try {
      process.kill(-this.#process.pid, signal);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "ESRCH") throw error;
    }
  }

  /**
   * Asks it to end, and ends it if it has not done so in time.
   *
   * @param {number} graceMs
   * @returns {Promise<void>} once it has ended
   */
  async stop(graceMs) {
    this.kill("SIGTERM");
    const timer = setTimeout(() => this.kill("SIGKILL"), graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  /**
   * @param {string} problem
   * @returns {DemoError} the problem with the last lines of the log below it
   */
  failure(problem) {
    return new DemoError(`${this.name} ${problem}; the last lines of its log:\n${this.tail().replace(/^/gm, "    ")}`);
  }
}

/**
 * Waits until a child is ready. Fails as soon as it has ended, when the time is over, or when the signal is aborted.
 *
 * @param {Child} child
 * @param {() => Promise<boolean>} isReady asked again and again; an exception counts as no
 * @param {object} options
 * @param {number} options.timeoutMs
 * @param {AbortSignal} options.signal
 */
export async function untilReady(child, isReady, { timeoutMs, signal }) {
  const deadline = performance.now() + timeoutMs;
  while (!(await isReady().catch(() => false))) {
    signal.throwIfAborted();
    if (child.ended) throw child.failure(child.ended);
    if (performance.now() > deadline) throw child.failure(`is not ready after ${timeoutMs / 1000} s`);
    await delay(50, undefined, { signal });
  }
}

/**
 * @param {string} url
 * @returns {Promise<boolean>} whether it answers 200 within a second
 */
export function answersOk(url) {
  return within(1000, async (signal) => {
    const response = await fetch(url, { signal });
    await response.arrayBuffer();
    return response.status === 200;
  });
}

/**
 * A port of 127.0.0.1 that was free a moment ago. Somebody else may take it before it is used: try again with another.
 *
 * @returns {Promise<number>}
 */
export async function freePort() {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Starts something on a free port, and on another one if that port was taken in between.
 *
 * @template T
 * @param {(port: number) => Promise<T>} attempt fails with a message that has EADDRINUSE or "address already in use" in it
 *   if the port is taken
 * @returns {Promise<T>}
 */
export async function onFreePort(attempt) {
  for (let left = PORT_ATTEMPTS; ; left--) {
    try {
      return await attempt(await freePort());
    } catch (error) {
      if (left === 1 || !/EADDRINUSE|address already in use/i.test(String(error))) throw error;
    }
  }
}

/**
 * This process's environment without what would bend the measurement: settings of isrd and of Next.js's cache.
 *
 * @param {NodeJS.ProcessEnv} own what the child gets on top
 * @returns {NodeJS.ProcessEnv}
 */
export function childEnvironment(own) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(ISRD_|SHOP_|CACHE_|NEXT_|__NEXT|NODE_ENV$|PORT$)/.test(name),
  );
  return { ...Object.fromEntries(inherited), NEXT_TELEMETRY_DISABLED: "1", ...own };
}
