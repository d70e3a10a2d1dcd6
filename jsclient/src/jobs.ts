import type { MessageInitShape } from "@bufbuild/protobuf";
import { messageOf } from "./errors.js";
import type { Job, JobResultSchema } from "./gen/isrd/v1/session_pb.js";

/** What became of a job, but for its name. */
export type JobReport = Omit<MessageInitShape<typeof JobResultSchema>, "$typeName" | "jobId">;

/** What a process does for others. */
export interface Work {
  /** How many jobs it does at the same time. */
  readonly concurrency: number;
  /** Does one. The signal ends it: then nobody wants its report. Reports every failure; what it throws is one too. */
  run(job: Job, signal: AbortSignal): Promise<JobReport>;
}

/** What jobs need of their connection. */
export interface JobsOptions {
  readonly work: Work | undefined;
  /** Sends a report; false if the queue is full. */
  readonly send: (id: bigint, report: MessageInitShape<typeof JobResultSchema>) => boolean;
  /** A job begins (1) or ends (-1). */
  readonly hold: (change: 1 | -1) => void;
}

/** After so long a report that found the queue full is tried again, in milliseconds. */
const RESEND_MS = 50;

/** The jobs that came over one connection: never more at once than were offered, and none outlives it. */
export class Jobs {
  readonly #options: JobsOptions;
  readonly #running = new Map<bigint, AbortController>();
  readonly #resends = new Set<NodeJS.Timeout>();

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  get idle(): boolean {
    return this.#running.size === 0;
  }

  /** A job arrived, under this id. It is answered under it too, whatever happens. */
  take(id: bigint, job: Job): void {
    const { work, hold } = this.#options;
    if (!work || this.#running.size >= work.concurrency) {
      this.#reply(id, job, {
        error: work ? "this process has no place for another job" : "this process takes no jobs",
      });
      return;
    }
    const abort = new AbortController();
    this.#running.set(id, abort);
    hold(1);
    const ended = (report: JobReport): void => {
      this.#running.delete(id);
      if (!abort.signal.aborted) this.#reply(id, job, report);
      hold(-1);
    };
    work.run(job, abort.signal).then(ended, (error: unknown) => ended({ error: messageOf(error) }));
  }

  /** Nobody waits any longer for the job that came under this id. */
  withdraw(id: bigint): void {
    this.#running.get(id)?.abort();
  }

  /** The connection is over: nobody hears of these any more. */
  end(): void {
    for (const timer of this.#resends) clearTimeout(timer);
    this.#resends.clear();
    for (const abort of this.#running.values()) abort.abort();
  }

  #reply(id: bigint, job: Job, report: JobReport): void {
    if (this.#options.send(id, { ...report, jobId: job.jobId })) return;
    const timer = setTimeout(() => {
      this.#resends.delete(timer);
      this.#reply(id, job, report);
    }, RESEND_MS).unref();
    this.#resends.add(timer);
  }
}
