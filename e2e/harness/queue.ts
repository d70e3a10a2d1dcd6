import type { Daemon } from "./daemon.ts";
import { Service } from "./service.ts";
import { eventually } from "./wait.ts";

/** What one call may name. */
const MAX_IDS = 1000;

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
  readonly #service: Service;
  readonly #app: string;

  constructor(daemon: Daemon, app = "plain") {
    this.#service = new Service(daemon, "revalidation.proto", "RevalidationService");
    this.#app = app;
  }

  /** Enqueues paths, and returns the jobs' ids. */
  async enqueue(paths: readonly string[], options: { priority?: string; onlyIfCached?: boolean } = {}) {
    const { jobs } = await this.#service.call("Enqueue", { app: this.#app, paths, ...options });
    return (jobs as { jobId: string }[]).map(({ jobId }) => jobId);
  }

  /** How it stands with jobs. */
  async get(ids: readonly string[]): Promise<Job[]> {
    const found: Job[] = [];
    for (let from = 0; from < ids.length; from += MAX_IDS) {
      const { jobs } = await this.#service.call("Get", { app: this.#app, jobIds: ids.slice(from, from + MAX_IDS) });
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
    return (await this.#service.call("List", { app: this.#app, state: "JOB_STATE_DEAD" })).jobs as Job[];
  }

  close(): void {
    this.#service.close();
  }
}
