import path from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import type { Daemon } from "./daemon.ts";
import { ROOT } from "./paths.ts";
import { eventually } from "./wait.ts";

const DEADLINE_MS = 20_000;
/** What one call may name. */
const MAX_IDS = 1000;

type Message = Record<string, unknown>;
type Method = (request: Message, options: grpc.CallOptions, done: grpc.requestCallback<Message>) => void;

/** A job, as far as tests look at it. */
export interface Job {
  readonly jobId: string;
  readonly path: string;
  readonly state: string;
  readonly outcome: string;
  readonly attempt: number;
  readonly claimedBy: string;
  readonly httpStatus: number;
  readonly reason: string;
}

/** The revalidation queue behind a daemon: by the contract in `proto`, with no code of isrd. */
export class Queue {
  readonly #client: grpc.Client;
  readonly #app: string;

  constructor(daemon: Daemon, app = "plain") {
    const contract = loader.loadSync("isrd/v1/revalidation.proto", {
      includeDirs: [path.join(ROOT, "proto")],
      defaults: true,
      enums: String,
      longs: String,
    });
    const service = contract["isrd.v1.RevalidationService"] as grpc.ServiceDefinition;
    const Client = grpc.makeClientConstructor(service, "RevalidationService");
    this.#client = new Client(daemon.address, grpc.credentials.createInsecure());
    this.#app = app;
  }

  /** Enqueues paths, and returns the jobs' ids. */
  async enqueue(paths: readonly string[], options: { priority?: string; onlyIfCached?: boolean } = {}) {
    const { jobs } = await this.#call("Enqueue", { app: this.#app, paths, ...options });
    return (jobs as { jobId: string }[]).map(({ jobId }) => jobId);
  }

  /** How it stands with jobs. */
  async get(ids: readonly string[]): Promise<Job[]> {
    const found: Job[] = [];
    for (let from = 0; from < ids.length; from += MAX_IDS) {
      const { jobs } = await this.#call("Get", { app: this.#app, jobIds: ids.slice(from, from + MAX_IDS) });
      found.push(...(jobs as Job[]));
    }
    return found;
  }

  /** Waits until all of them have ended, and returns them in this order. */
  async ended(ids: readonly string[], timeoutMs: number): Promise<Job[]> {
    return await eventually(`${ids.length} jobs have ended`, timeoutMs, async () => {
      const jobs = new Map((await this.get(ids)).map((job) => [job.jobId, job]));
      const lost = ids.filter((id) => !jobs.has(id));
      if (lost.length > 0) throw new Error(`${lost.length} are not known, such as ${lost[0]}`);
      const open = [...jobs.values()].filter(({ state }) => !/_(DONE|DEAD)$/.test(state));
      if (open.length > 0) throw new Error(`${open.length} are open, such as ${JSON.stringify(open[0])}`);
      return ids.map((id) => jobs.get(id) as Job);
    });
  }

  /** The jobs that are tried no more. */
  async dead(): Promise<Job[]> {
    return (await this.#call("List", { app: this.#app, state: "JOB_STATE_DEAD" })).jobs as Job[];
  }

  close(): void {
    this.#client.close();
  }

  #call(name: string, request: Message): Promise<Message> {
    const method = (this.#client as unknown as Record<string, Method>)[name] as Method;
    const options = { deadline: Date.now() + DEADLINE_MS };
    return new Promise((resolve, reject) => {
      method.call(this.#client, request, options, (error, reply) => (error ? reject(error) : resolve(reply ?? {})));
    });
  }
}
