import type { AppName } from "./build.ts";
import { Daemon } from "./daemon.ts";
import { Origin } from "./origin.ts";
import { Redis } from "./redis.ts";
import { Replica } from "./replica.ts";

/** How replicas share their cache. */
export type Topology = "embedded" | "redis";

/** All of them, for the behaviours that every one must have. */
export const TOPOLOGIES: readonly { topology: Topology; title: string }[] = [
  { topology: "embedded", title: "two replicas on one daemon, embedded store" },
  { topology: "redis", title: "two replicas on a daemon each, one Redis" },
];

/** How to run a fleet. */
export interface FleetOptions {
  readonly topology: Topology;
  readonly app?: AppName;
  /** The secret of the daemons. */
  readonly token?: string;
  /** More flags of the daemons. */
  readonly flags?: readonly string[];
  /** More of the replicas' environment. */
  readonly env?: NodeJS.ProcessEnv;
  readonly handlerByEnvironment?: boolean;
  /**
   * `patient`: ten times the product's deadlines, so that a busy machine, where everything shares two cores, fails no
   * test whose subject is another. `default`: the product's own.
   *
   * @default patient
   */
  readonly deadlines?: "patient" | "default";
}

const PATIENT_FLAGS = ["--redis-timeout", "1500ms"];
const PATIENT_ENV = { ISRD_TIMEOUT_MS: "2000" };

/** Two replicas with all that they need. */
export class Fleet {
  readonly origin: Origin;
  readonly daemons: readonly Daemon[];
  readonly a: Replica;
  readonly b: Replica;
  readonly #redis: Redis | undefined;

  private constructor(parts: { origin: Origin; redis: Redis | undefined; daemons: Daemon[]; a: Replica; b: Replica }) {
    this.origin = parts.origin;
    this.#redis = parts.redis;
    this.daemons = parts.daemons;
    this.a = parts.a;
    this.b = parts.b;
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    const { topology, app = "next16", token, handlerByEnvironment, deadlines = "patient" } = options;
    const patient = deadlines === "patient";
    const flags = [...(patient ? PATIENT_FLAGS : []), ...(options.flags ?? [])];
    const env = { ...(patient ? PATIENT_ENV : {}), ...options.env };
    const origin = await Origin.start();
    const redis = topology === "redis" ? await Redis.start() : undefined;
    const startDaemon = (name: string) =>
      Daemon.start({ name: `${topology}-${name}`, redis: redis?.url, token, flags });
    const first = await startDaemon("daemon-a");
    const second = topology === "redis" ? await startDaemon("daemon-b") : first;
    const startReplica = (name: string, daemon: Daemon) =>
      Replica.start({
        name: `${topology}-${name}`,
        app,
        address: daemon.address,
        originUrl: origin.url,
        env,
        handlerByEnvironment,
      });
    const a = await startReplica("next-a", first);
    const b = await startReplica("next-b", second);
    return new Fleet({ origin, redis, daemons: [...new Set([first, second])], a, b });
  }

  get replicas(): readonly [Replica, Replica] {
    return [this.a, this.b];
  }

  /** The daemon of a replica. */
  daemonOf(replica: Replica): Daemon {
    return (replica === this.a ? this.daemons[0] : this.daemons.at(-1)) as Daemon;
  }

  get redis(): Redis {
    if (!this.#redis) throw new Error("this fleet has no Redis");
    return this.#redis;
  }

  /** The sum of a figure over all daemons. */
  async sum(name: string, labels?: Record<string, string>): Promise<number> {
    const readings = await Promise.all(this.daemons.map((daemon) => daemon.metrics()));
    return readings.reduce((sum, metrics) => sum + metrics.sum(name, labels), 0);
  }

  /** Stops everything: those that ask before those that answer. */
  async stop(): Promise<void> {
    this.origin.releaseAll(); // a test that failed may have left renders held, and replicas wait for theirs
    const stopping = [
      () => Promise.all(this.replicas.map((replica) => replica.close())),
      () => Promise.all(this.daemons.map((daemon) => daemon.close())),
      () => this.#redis?.close(),
      () => this.origin.stop(),
    ];
    const problems: unknown[] = [];
    for (const stop of stopping) {
      try {
        await stop();
      } catch (error) {
        problems.push(error);
      }
    }
    if (problems.length > 0) throw new AggregateError(problems, String(problems[0]));
  }
}
