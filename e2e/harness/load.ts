import type { Reply } from "./http.ts";
import type { Replica } from "./replica.ts";
import { eventually } from "./wait.ts";

/** One request of a load, and what became of it. */
export interface Sample {
  readonly replica: string;
  readonly path: string;
  /** Since the load began, in milliseconds. */
  readonly at: number;
  readonly ms: number;
  /** The status, or what went wrong. */
  readonly outcome: number | string;
  readonly cache: string | undefined;
}

/** Requests from several clients at the same time, each sending its next one when its last is answered. */
export class Load {
  readonly samples: Sample[] = [];
  readonly #began = performance.now();
  readonly #clients: Promise<void>[];
  #stopping = false;
  #number = 0;

  /** Begins at once. `next` names the path of the request with a number. */
  constructor(options: { replicas: readonly Replica[]; clients: number; next: (number: number) => string }) {
    const { replicas, clients, next } = options;
    this.#clients = Array.from({ length: clients }, async (_, client) => {
      const replica = replicas[client % replicas.length] as Replica;
      while (!this.#stopping) await this.#ask(replica, next(this.#number++));
    });
  }

  /** How many were answered so far. */
  get answered(): number {
    return this.samples.length;
  }

  /** Waits for so many more answers. */
  async more(count: number, timeoutMs: number): Promise<void> {
    const goal = this.answered + count;
    await eventually(`${count} more answers to the load`, timeoutMs, () => {
      if (this.answered < goal) throw new Error(`${goal - this.answered} are missing`);
    });
  }

  /** Sends nothing more, and waits for what is open. */
  async stop(): Promise<readonly Sample[]> {
    this.#stopping = true;
    await Promise.all(this.#clients);
    return this.samples;
  }

  /** The time since it began, in milliseconds: to tell phases apart. */
  get now(): number {
    return performance.now() - this.#began;
  }

  async #ask(replica: Replica, path: string): Promise<void> {
    const at = this.now;
    let reply: Reply | undefined;
    let failure = "";
    try {
      reply = await replica.request(path);
    } catch (error) {
      failure = (error as Error).message;
    }
    const outcome = reply?.status ?? failure;
    this.samples.push({ replica: replica.name, path, at, ms: this.now - at, outcome, cache: reply?.cache });
  }
}

/** The samples that are no 200, each as a line. */
export function failuresIn(samples: readonly Sample[]): string[] {
  return samples.filter(({ outcome }) => outcome !== 200).map(describe);
}

/** The slowest samples, each as a line, if they took longer than allowed. */
export function slowerThan(limitMs: number, samples: readonly Sample[]): string[] {
  return samples.filter(({ ms }) => ms > limitMs).map(describe);
}

/** The time that this share of the samples (0 to 1) took at most, in milliseconds. */
export function percentile(share: number, samples: readonly Sample[]): number {
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function describe({ replica, path, at, ms, outcome, cache }: Sample): string {
  return `${replica} ${path} at ${at.toFixed(0)} ms: ${outcome} ${cache ?? ""} after ${ms.toFixed(0)} ms`;
}
