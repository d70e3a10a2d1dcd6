import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, mkdirSync, type WriteStream } from "node:fs";
import path from "node:path";
import { VERSION } from "./next.ts";
import { OUT, ROOT } from "./paths.ts";
import { dropGroup, keepGroup, signalGroup } from "./reap.ts";
import { within } from "./wait.ts";

/** How to start a program. */
export interface ProgramOptions {
  /** What it is called in messages and in the name of its log. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** What its environment has on top of {@link baseEnvironment}. */
  readonly env?: NodeJS.ProcessEnv;
}

interface Waiter {
  readonly pattern: RegExp;
  readonly from: number;
  readonly resolve: (match: RegExpExecArray) => void;
  readonly reject: (error: Error) => void;
}

const TAIL_LINES = 25;

/** Logs stay after the run, in a folder for each version and test file. */
const LOGS = path.join(OUT, "logs", VERSION, path.basename(process.argv[1] ?? "unknown").replace(/\..*$/, ""));

/**
 * A running program with its output, which is kept in memory and in a file. It leads its own process group, which ends
 * with it, and with the test process at the latest.
 */
export class Program {
  readonly name: string;
  /** Resolves to how it ended, in words; never rejects. */
  readonly exited: Promise<string>;
  /** How it ended; undefined while it runs. */
  ended: string | undefined;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  /** Not written synchronously: this process is also the origin, and must not wait for a disk. */
  readonly #log: WriteStream;
  readonly #waiters = new Set<Waiter>();
  #output = "";

  constructor({ name, command, args, cwd, env }: ProgramOptions) {
    this.name = name;
    mkdirSync(LOGS, { recursive: true });
    this.#logFile = path.join(LOGS, `${name}.log`);
    this.#log = createWriteStream(this.#logFile, { flags: "a" });
    this.#child = spawn(command, args, {
      cwd,
      env: { ...baseEnvironment(), ...env },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { pid } = this.#child;
    if (pid !== undefined) keepGroup(pid);
    this.#record(`# pid ${pid}: ${[command, ...args].join(" ")}\n`, "");
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.#record(text));
    }
    this.exited = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(`could not be started (${error.message})`));
      // `close` and not `exit`: by then all output is here.
      this.#child.once("close", (code, signal) => resolve(signal ? `was ended by ${signal}` : `exited with ${code}`));
    }).then((how) => this.#end(String(how)));
  }

  /** All that it has written so far. */
  get output(): string {
    return this.#output;
  }

  /** The matches of a pattern in what it has written since `from`, an earlier length of `output`. */
  lines(pattern: RegExp, from = 0): string[] {
    return this.#output
      .slice(from)
      .split("\n")
      .filter((line) => pattern.test(line));
  }

  /** Waits until it writes something that matches. Fails when it ends, or when the time is over. */
  async written(pattern: RegExp, timeoutMs: number, from = 0): Promise<RegExpExecArray> {
    const match = pattern.exec(this.#output.slice(from));
    if (match) return match;
    if (this.ended) throw this.failure(this.ended);
    let waiter: Waiter | undefined;
    const written = new Promise<RegExpExecArray>((resolve, reject) => {
      waiter = { pattern, from, resolve, reject };
      this.#waiters.add(waiter);
    });
    try {
      return await within(written, timeoutMs, () => this.failure(`did not write ${pattern} within ${timeoutMs} ms`));
    } finally {
      if (waiter) this.#waiters.delete(waiter);
    }
  }

  /** Sends a signal to it and to what it has started. */
  signal(signal: NodeJS.Signals): void {
    if (this.#child.pid !== undefined && !this.ended) signalGroup(this.#child.pid, signal);
  }

  /** Ends it without giving it a chance to do anything about it. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
  }

  /** Asks it to end, and fails if it has not within the time; then it has been killed. */
  async stop(graceMs: number): Promise<void> {
    this.signal("SIGCONT"); // a stopped process hears nothing else
    this.signal("SIGTERM");
    const late = () => this.failure(`had to be killed: it did not end within ${graceMs} ms of SIGTERM`);
    try {
      await within(this.exited, graceMs, late);
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** An error about this program, with the end of its output. */
  failure(problem: string): Error {
    const tail = this.#output.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
    return new Error(`${this.name} ${problem}; the end of ${path.relative(ROOT, this.#logFile)}:\n${indent(tail)}`);
  }

  #record(text: string, output = text): void {
    this.#log.write(text);
    this.#output += output;
    for (const waiter of this.#waiters) {
      const match = waiter.pattern.exec(this.#output.slice(waiter.from));
      if (match) waiter.resolve(match);
    }
  }

  #end(how: string): string {
    this.ended = how;
    this.#log.end();
    const { pid } = this.#child;
    if (pid !== undefined) {
      signalGroup(pid, "SIGKILL"); // what it started itself and left behind
      dropGroup(pid);
    }
    for (const waiter of this.#waiters) waiter.reject(this.failure(how));
    return how;
  }
}

/**
 * This process's environment without what would bend a test: settings of isrd, of Next.js, and of the test runner. And
 * Next.js asks nobody in the network: 14 would ask the npm registry about the lockfile during a build.
 */
export function baseEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(ISRD_|CACHE_|NEXT_|__NEXT|NODE_|ORIGIN_URL$|PORT$|XDG_RUNTIME_DIR$)/;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(kept), NEXT_TELEMETRY_DISABLED: "1", NEXT_IGNORE_INCORRECT_LOCKFILE: "1" };
}

function indent(text: string): string {
  return text.replace(/^/gm, "    ");
}
