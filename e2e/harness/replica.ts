import { cp, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { type AppName, buildOf, rebuild } from "./build.ts";
import { HttpClient, type Reply, type RequestOptions } from "./http.ts";
import { type Bundler, handlerFile, NEXT_COMMAND } from "./next.ts";
import { OUT } from "./paths.ts";
import { Program } from "./program.ts";
import { makeFolder, removeFolder } from "./reap.ts";
import { eventually } from "./wait.ts";

const READY_TIMEOUT_MS = 30_000;
const STOP_GRACE_MS = 20_000;

/** How to run a replica. */
export interface ReplicaOptions {
  /** What it is called in messages. */
  readonly name: string;
  readonly app: AppName;
  /** What its build was bundled with. @default the version's own */
  readonly bundler?: Bundler | undefined;
  /** The daemon, as ISRD_ADDRESS has it. */
  readonly address: string;
  readonly originUrl: string;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** The handler is named by NEXT_CACHE_HANDLER_PATH, and nothing of it is in next.config.js. */
  readonly handlerByEnvironment?: boolean | undefined;
  /** Another build of the same sources, with this BUILD_ID. */
  readonly buildId?: string | undefined;
}

/**
 * A `next start` process in its own copy of the build, as each container of an image has one: what another replica has
 * rendered can reach it through the daemon only, never through a file.
 */
export class Replica {
  readonly name: string;
  readonly #options: ReplicaOptions;
  readonly #folder: string;
  #program: Program | undefined;
  #http: HttpClient | undefined;
  #lives = 0;

  private constructor(options: ReplicaOptions) {
    this.name = options.name;
    this.#options = options;
    this.#folder = path.join(OUT, "replicas", `${process.pid}-${options.name}`);
  }

  /** Starts a replica; it answers when this returns. */
  static async start(options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(options);
    await replica.#copyBuild();
    await replica.start();
    return replica;
  }

  /** The running process. */
  get program(): Program {
    if (!this.#program) throw new Error(`${this.name} does not run`);
    return this.#program;
  }

  get url(): string {
    return this.#client.url;
  }

  /** The BUILD_ID that it serves. */
  async buildId(): Promise<string> {
    return (await readFile(path.join(this.#folder, ".next", "BUILD_ID"), "utf8")).trim();
  }

  /** Starts it again after it has been stopped or killed; on another port. */
  async start(): Promise<void> {
    const { app, address, originUrl, env, handlerByEnvironment } = this.#options;
    this.#lives += 1;
    const program = new Program({
      name: `${this.name}-${this.#lives}`,
      command: process.execPath,
      args: [NEXT_COMMAND, "start", "--hostname", "127.0.0.1", "--port", "0"],
      cwd: this.#folder,
      env: {
        ISRD_ADDRESS: address,
        ISRD_APP: app,
        ORIGIN_URL: originUrl,
        ...(handlerByEnvironment ? { NEXT_CACHE_HANDLER_PATH: handlerFile() } : {}),
        ...env,
      },
    });
    this.#program = program;
    const [, url] = await program.written(/Local:\s+(http:\/\/127\.0\.0\.1:\d+)/, READY_TIMEOUT_MS);
    this.#http = new HttpClient(url ?? "");
    await eventually(`${this.name} answers`, READY_TIMEOUT_MS, async () => {
      if (program.ended) throw program.failure(program.ended);
      // A static asset's 404: it neither renders nor asks the cache.
      await this.#client.request("/_next/static/none.js", { timeoutMs: 5000 });
    });
  }

  /** Sends a request. */
  request(path: string, options?: RequestOptions): Promise<Reply> {
    return this.#client.request(path, options);
  }

  /** What its router asks for when a link is followed: the page as React Server Components. */
  async requestRsc(path: string): Promise<Reply> {
    const headers = { rsc: "1" };
    const redirect = await this.request(path, { headers });
    // Since 16 such a request must carry a hash of its headers; without one it is sent to where that is right.
    if (redirect.status !== 307 || !redirect.headers.location?.includes("_rsc")) return redirect;
    return this.request(redirect.headers.location, { headers });
  }

  /** What the Pages Router asks for when a link is followed: the page's data. */
  async requestData(path: string): Promise<Reply> {
    return this.request(`/_next/data/${await this.buildId()}${path}.json`, { headers: { "x-nextjs-data": "1" } });
  }

  /** Calls the app's webhook, as a backend whose content has changed. */
  async webhook(change: { tags?: string[]; paths?: string[]; profile?: string }): Promise<void> {
    const headers = { "content-type": "application/json" };
    const reply = await this.request("/api/webhook", { method: "POST", headers, body: JSON.stringify(change) });
    if (reply.status !== 200) throw this.program.failure(`answered its webhook with ${reply.status}: ${reply.text}`);
  }

  /** Stops it as an orchestrator does. */
  async stop(): Promise<void> {
    await this.program.stop(STOP_GRACE_MS);
    this.#client.close();
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.program.kill();
    this.#client.close();
  }

  /** Stops it for good. */
  async close(): Promise<void> {
    if (this.#program && !this.#program.ended) await this.stop();
    removeFolder(this.#folder);
  }

  get #client(): HttpClient {
    if (!this.#http) throw new Error(`${this.name} was never started`);
    return this.#http;
  }

  async #copyBuild(): Promise<void> {
    const { app, bundler, handlerByEnvironment, buildId } = this.#options;
    await makeFolder(this.#folder);
    const build = await buildOf(app, bundler);
    await cp(build, this.#folder, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    if (buildId !== undefined) await rebuild(this.#folder, buildId);
    if (handlerByEnvironment) {
      await writeFile(path.join(this.#folder, "next.config.js"), "module.exports = { cacheMaxMemorySize: 0 };\n");
    }
  }
}
