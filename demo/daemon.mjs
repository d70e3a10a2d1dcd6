// The isrd daemon of the second leg: one process with its embedded store, on a Unix socket.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { answersOk, childEnvironment, onFreePort, start, untilReady } from "./processes.mjs";
import { within } from "./within.mjs";

const READY_TIMEOUT_MS = 15_000;
const STOP_GRACE_MS = 5_000;

/**
 * A running daemon.
 *
 * @typedef {object} Daemon
 * @property {string} address what ISRD_ADDRESS names it by
 * @property {import('./processes.mjs').Child} child
 * @property {() => Promise<Record<string, number>>} metrics its own `isrd_*` figures, by name and labels
 * @property {() => Promise<void>} stop ends it and removes its socket's folder
 */

/**
 * Starts the daemon.
 *
 * @param {object} options
 * @param {string} options.binary
 * @param {string} options.logFile
 * @param {AbortSignal} options.signal
 * @returns {Promise<Daemon>} once it is ready
 */
export async function startDaemon({ binary, logFile, signal }) {
  // Not below the repository: the path of a Unix socket has about 100 characters at most.
  const dir = await mkdtemp(path.join(tmpdir(), "isrd-demo-"));
  const address = `unix://${path.join(dir, "isrd.sock")}`;
  const { child, url } = await onFreePort((port) => startOn(port, { binary, dir, address, logFile, signal })).catch(
    async (error) => {
      await rm(dir, { recursive: true, force: true });
      throw error;
    },
  );
  return {
    address,
    child,
    metrics: () =>
      within(5_000, async (bounded) => {
        const response = await fetch(`${url}/metrics`, { signal: bounded });
        return parseMetrics(await response.text());
      }),
    stop: async () => {
      await child.stop(STOP_GRACE_MS);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/**
 * @param {number} port for its metrics and its readiness
 * @param {{ binary: string, dir: string, address: string, logFile: string, signal: AbortSignal }} options
 */
async function startOn(port, { binary, dir, address, logFile, signal }) {
  const child = start({
    name: "the isrd daemon",
    command: binary,
    args: ["serve", "--listen", address, "--metrics-listen", `127.0.0.1:${port}`],
    cwd: dir,
    env: childEnvironment({}),
    logFile,
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(child, () => answersOk(`${url}/readyz`), { timeoutMs: READY_TIMEOUT_MS, signal });
  } catch (error) {
    await child.stop(0);
    throw error;
  }
  return { child, url };
}

/**
 * Reads the text format of Prometheus.
 *
 * @param {string} text
 * @returns {Record<string, number>} the value of each `isrd_*` sample by name and labels, without histogram buckets
 */
export function parseMetrics(text) {
  /** @type {Record<string, number>} */
  const values = {};
  for (const line of text.split("\n")) {
    const sample = /^(isrd_\w+(?:\{.*\})?) (\S+)/.exec(line);
    if (sample?.[1] && !sample[1].includes("_bucket{")) values[sample[1]] = Number(sample[2]);
  }
  return values;
}
