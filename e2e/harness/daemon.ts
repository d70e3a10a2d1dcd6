import path from "node:path";
import { HttpClient } from "./http.ts";
import { Metrics } from "./metrics.ts";
import { DAEMON } from "./paths.ts";
import { Program } from "./program.ts";
import { removeFolder, temporaryFolder } from "./reap.ts";
import { eventually } from "./wait.ts";

const READY_TIMEOUT_MS = 15_000;
const STOP_GRACE_MS = 15_000;

/** How to run a daemon. */
export interface DaemonOptions {
  /** What it is called in messages. */
  readonly name: string;
  /** The URL of its Redis; none: the embedded store. */
  readonly redis?: string | undefined;
  /** The secret that it asks for. */
  readonly token?: string | undefined;
  /** More flags. */
  readonly flags?: readonly string[] | undefined;
}

/** A daemon that can be killed and started again at the same address. */
export class Daemon {
  /** What its clients have as ISRD_ADDRESS. */
  readonly address: string;
  readonly #options: DaemonOptions;
  readonly #folder = temporaryFolder();
  #program: Program | undefined;
  #http: HttpClient | undefined;
  #lives = 0;

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.address = `unix://${path.join(this.#folder, "isrd.sock")}`;
  }

  /** Starts a daemon; it is ready when this returns. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    await daemon.start();
    return daemon;
  }

  /** The running process. */
  get program(): Program {
    if (!this.#program) throw new Error(`${this.#options.name} does not run`);
    return this.#program;
  }

  /** Starts it again after it has been killed or stopped. */
  async start(): Promise<void> {
    const { name, redis, token, flags = [] } = this.#options;
    this.#lives += 1;
    const program = new Program({
      name: `${name}-${this.#lives}`,
      command: DAEMON,
      args: [
        ...["serve", "--listen", this.address, "--metrics-listen", "127.0.0.1:0", "--log-format", "json"],
        ...(redis === undefined ? [] : ["--redis", redis]),
        ...flags,
      ],
      cwd: this.#folder,
      env: token === undefined ? {} : { ISRD_TOKEN: token },
    });
    this.#program = program;
    const [, address] = await program.written(/"for":"metrics-listen","address":"([^"]+)"/, READY_TIMEOUT_MS);
    const http = new HttpClient(`http://${address}`);
    this.#http = http;
    await eventually(`${name} is ready`, READY_TIMEOUT_MS, async () => {
      if (program.ended) throw program.failure(program.ended);
      const { status, text } = await http.request("/readyz", { timeoutMs: 2000 });
      if (status !== 200) throw program.failure(`is not ready: ${text}`);
    });
  }

  /** Where it takes webhooks over HTTP, if it was started with `--webhook-listen`. */
  async webhooks(): Promise<string> {
    const [, address] = await this.program.written(/"for":"webhook-listen","address":"([^"]+)"/, READY_TIMEOUT_MS);
    return `http://${address}`;
  }

  /** Its figures now. */
  async metrics(): Promise<Metrics> {
    if (!this.#http) throw new Error(`${this.#options.name} was never started`);
    return new Metrics((await this.#http.request("/metrics", { timeoutMs: 5000 })).text);
  }

  /** Waits until so many Next.js processes have a session. */
  async connected(count: number): Promise<void> {
    await eventually(`${count} sessions at ${this.#options.name}`, READY_TIMEOUT_MS, async () => {
      const sessions = (await this.metrics()).sum("isrd_server_sessions");
      if (sessions !== count) throw this.program.failure(`has ${sessions} sessions`);
    });
  }

  /** kill -9. Its socket stays behind, as in real life. */
  async kill(): Promise<void> {
    await this.#program?.kill();
    this.#http?.close();
  }

  /** Stops it in order, as an update does. */
  async stop(): Promise<void> {
    await this.#program?.stop(STOP_GRACE_MS);
    this.#http?.close();
  }

  /** Stops it for good. */
  async close(): Promise<void> {
    if (!this.#program?.ended) await this.stop();
    removeFolder(this.#folder);
  }
}
