import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import path from "node:path";
import { promisify } from "node:util";
import { Program } from "./program.ts";
import { removeFolder, temporaryFolder } from "./reap.ts";
import { within } from "./wait.ts";

const START_TIMEOUT_MS = 10_000;
const STOP_GRACE_MS = 10_000;
const COMMAND_TIMEOUT_MS = 5000;

const run = promisify(execFile);

/** A real redis-server of its own, behind a socket; durable, if it must not forget what it has acknowledged. */
export class Redis {
  readonly #folder = temporaryFolder();
  readonly #durable: boolean;
  #running: Program | undefined;
  #lives = 0;

  private constructor(durable: boolean) {
    this.#durable = durable;
  }

  static async start({ durable = false } = {}): Promise<Redis> {
    const redis = new Redis(durable);
    await redis.again();
    return redis;
  }

  /** Starts it after it was killed. */
  async again(): Promise<void> {
    const folder = this.#folder;
    const log = this.#durable ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
    const args = ["--port", "0", "--unixsocket", socketIn(folder), "--save", "", ...log, "--dir", folder];
    this.#lives += 1;
    const name = this.#lives === 1 ? "redis" : `redis-${this.#lives}`;
    this.#running = new Program({ name, command: "redis-server", args, cwd: folder });
    await this.#running.written(/ready to accept connections/i, START_TIMEOUT_MS);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#program.kill();
  }

  get #program(): Program {
    if (!this.#running) throw new Error("redis was never started");
    return this.#running;
  }

  /** What a daemon has as --redis. */
  get url(): string {
    return `unix://${socketIn(this.#folder)}`;
  }

  /** Runs one command, as `redis-cli` does. */
  async command(...args: string[]): Promise<string> {
    const asked = run("redis-cli", ["-s", socketIn(this.#folder), ...args]);
    const { stdout } = await within(asked, COMMAND_TIMEOUT_MS, `an answer to ${args.join(" ")}`).catch((error) => {
      asked.child.kill("SIGKILL");
      throw error;
    });
    return stdout.trim();
  }

  /**
   * The commands that clients send while `action` runs, one line each as MONITOR has them; what scripts do inside Redis
   * is not among them.
   */
  async commandsDuring(action: () => Promise<void>): Promise<string[]> {
    const args = ["-s", socketIn(this.#folder), "monitor"];
    const monitor = new Program({ name: "redis-monitor", command: "redis-cli", args, cwd: this.#folder });
    try {
      await monitor.written(/^OK$/m, START_TIMEOUT_MS);
      const marks = [randomUUID(), randomUUID()] as const;
      await this.command("echo", marks[0]);
      await action();
      await this.command("echo", marks[1]);
      await monitor.written(new RegExp(marks[1]), COMMAND_TIMEOUT_MS);
      const lines = monitor.output.split("\n");
      const [from, to] = marks.map((mark) => lines.findIndex((line) => line.includes(mark)));
      return lines.slice((from ?? 0) + 1, to).filter((line) => !/^\S+ \[\d+ lua\]/.test(line));
    } finally {
      await monitor.kill();
    }
  }

  /** SIGSTOP: connections stay open, and nothing is answered. */
  hang(): void {
    this.#program.signal("SIGSTOP");
  }

  /** SIGCONT. */
  goOn(): void {
    this.#program.signal("SIGCONT");
  }

  /** Stops it for good. */
  async close(): Promise<void> {
    await this.#program.stop(STOP_GRACE_MS);
    removeFolder(this.#folder);
  }
}

function socketIn(folder: string): string {
  return path.join(folder, "redis.sock");
}
