// The replicas: `next start` processes, each in its own copy of the build output, as containers of one image would be.
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { nextCommand, SHOP } from "./build.mjs";
import { answersOk, childEnvironment, DemoError, onFreePort, start, untilReady } from "./processes.mjs";

const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 15_000;

/**
 * One render, as a replica counted it.
 *
 * @typedef {object} Render
 * @property {number} at when it began, in milliseconds since 1970
 * @property {string} path the page
 * @property {number} replica
 * @property {number} life which life of the replica: 0, or 1 after its restart
 */

/**
 * A running replica.
 *
 * @typedef {object} Replica
 * @property {number} number
 * @property {number} life
 * @property {number} port
 * @property {import('./processes.mjs').Child} child
 */

/** The replicas of one leg. Files live below its folder; ports and processes are its own. */
export class Fleet {
  /** @type {Map<number, Replica>} */
  #replicas = new Map();
  #lives = /** @type {{ replica: number, life: number }[]} */ ([]);
  #dir;
  #env;
  #signal;

  /**
   * @param {object} options
   * @param {string} options.dir a folder below the repository (so that `next` is found), for this fleet alone
   * @param {NodeJS.ProcessEnv} options.env the replicas' own settings
   * @param {AbortSignal} options.signal
   */
  constructor({ dir, env, signal }) {
    this.#dir = dir;
    this.#env = env;
    this.#signal = signal;
  }

  /** Makes the image that replicas are copied from: its files are as old as this call, as if it had been built now. */
  async makeImage() {
    await mkdir(path.join(this.#dir, "renders"), { recursive: true });
    const cache = path.join(SHOP, ".next", "cache"); // the build's own working files, which no image carries
    await cp(SHOP, this.#image, { recursive: true, filter: (source) => source !== cache });
  }

  /**
   * Starts a replica in a fresh copy of the image: its first life, or its next one.
   *
   * @param {number} number
   * @returns {Promise<Replica>} once it answers
   */
  async start(number) {
    const life = this.#lives.filter(({ replica }) => replica === number).length;
    this.#lives.push({ replica: number, life });
    const cwd = path.join(this.#dir, `replica-${number}-${life}`);
    await cp(this.#image, cwd, { recursive: true, preserveTimestamps: true });
    this.#signal.throwIfAborted(); // nothing is started that nobody would stop
    const replica = await onFreePort((port) => this.#startOn(port, { number, life, cwd }));
    this.#replicas.set(number, replica);
    return replica;
  }

  /**
   * Starts replicas 0 … count − 1 side by side.
   *
   * @param {number} count
   * @returns {Promise<Replica[]>} once all answer; rejects only when none is on its way any more
   */
  async startAll(count) {
    const attempts = await Promise.allSettled(Array.from({ length: count }, (_, number) => this.start(number)));
    return attempts.map((attempt) => {
      if (attempt.status === "rejected") throw attempt.reason;
      return attempt.value;
    });
  }

  /**
   * Stops a replica as an orchestrator does, by SIGTERM: Next.js finishes what it is doing. Its files go with it.
   *
   * @param {number} number
   */
  async stop(number) {
    const replica = this.#replicas.get(number);
    if (!replica) return;
    this.#replicas.delete(number);
    await replica.child.stop(STOP_GRACE_MS);
    await rm(path.join(this.#dir, `replica-${number}-${replica.life}`), { recursive: true, force: true });
  }

  /** Stops all replicas. */
  async stopAll() {
    await Promise.all([...this.#replicas.keys()].map((number) => this.stop(number)));
  }

  /** Ends all replicas at once; for a demo that is called off. */
  kill() {
    for (const { child } of this.#replicas.values()) child.kill("SIGKILL");
  }

  /**
   * @param {number} number
   * @returns {number} the port that a running replica listens on
   */
  portOf(number) {
    const replica = this.#replicas.get(number);
    if (!replica) throw new DemoError(`replica ${number} does not run`);
    return replica.port;
  }

  /** @returns {import('./processes.mjs').Child[]} the processes that should be running */
  children() {
    return [...this.#replicas.values()].map(({ child }) => child);
  }

  /** @returns {Promise<Render[]>} every render of every life of every replica so far */
  async renders() {
    const all = await Promise.all(
      this.#lives.map(async ({ replica, life }) => {
        const text = await readFile(this.#renderLog(replica, life), "utf8").catch((error) => {
          if (error.code === "ENOENT") return ""; // it has rendered nothing
          throw error;
        });
        const lines = text.split("\n").filter(Boolean);
        return lines.map((line) => /** @type {Render} */ ({ ...JSON.parse(line), replica, life }));
      }),
    );
    return all.flat();
  }

  get #image() {
    return path.join(this.#dir, "image");
  }

  /**
   * @param {number} replica
   * @param {number} life
   */
  #renderLog(replica, life) {
    return path.join(this.#dir, "renders", `${replica}-${life}.ndjson`);
  }

  /**
   * @param {number} port
   * @param {{ number: number, life: number, cwd: string }} which
   * @returns {Promise<Replica>}
   */
  async #startOn(port, { number, life, cwd }) {
    const child = start({
      name: `replica ${number}`,
      command: process.execPath,
      args: [nextCommand(), "start", "--hostname", "127.0.0.1", "--port", String(port)],
      cwd,
      env: childEnvironment({ ...this.#env, SHOP_RENDER_LOG: this.#renderLog(number, life) }),
      logFile: path.join(this.#dir, `replica-${number}-${life}.log`),
    });
    try {
      await untilReady(child, () => answersOk(`http://127.0.0.1:${port}/api/health`), {
        timeoutMs: READY_TIMEOUT_MS,
        signal: this.#signal,
      });
    } catch (error) {
      await child.stop(0);
      throw error;
    }
    return { number, life, port, child };
  }
}
