import { afterEach } from "node:test";
import { type AppName, buildOf } from "./build.ts";
import { Cut } from "./cut.ts";
import { Daemon } from "./daemon.ts";
import { Origin } from "./origin.ts";
import { Redis } from "./redis.ts";
import { Replica, type ReplicaOptions } from "./replica.ts";
import { eventually } from "./wait.ts";

/** How replicas share their cache. */
export type Topology = "embedded" | "redis";

const ALL: readonly { topology: Topology; title: string }[] = [
  { topology: "embedded", title: "two replicas on one daemon, embedded store" },
  { topology: "redis", title: "two replicas on a daemon each, one Redis" },
];

/** Those of this run, for the behaviours that every one must have: all of them, or the one that E2E_TOPOLOGY names. */
export const TOPOLOGIES = ALL.filter(({ topology }) => topology === (process.env["E2E_TOPOLOGY"] ?? topology));

/** How to run a fleet. */
export interface FleetOptions {
  readonly topology: Topology;
  /** How many replicas, at most four. @default 2 */
  readonly replicas?: number;
  /** Redis keeps what it has acknowledged when it is killed. */
  readonly durable?: boolean;
  /** The second daemon reaches Redis by a way that can be cut. */
  readonly cuttable?: boolean;
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

interface Parts {
  readonly origin: Origin;
  readonly redis: Redis | undefined;
  readonly cut: Cut | undefined;
  readonly daemons: readonly Daemon[];
  readonly replicas: readonly Replica[];
  readonly env: NodeJS.ProcessEnv;
}

const VOUCHED_TIMEOUT_MS = 20_000;
const REACHED_TIMEOUT_MS = 20_000;
const LETTERS = "abcd";
const PATIENT_FLAGS = ["--redis-timeout", "1500ms"];
const PATIENT_ENV = { ISRD_TIMEOUT_MS: "2000" };

const running = new Set<Fleet>();

/** A test that fails may leave renders held, and those who wait for them: the tests after it are about something else. */
afterEach(() => {
  for (const fleet of running) fleet.origin.releaseAll();
});

/** Replicas with all that they need; the one after the other, they are on the daemons in turn. */
export class Fleet {
  readonly origin: Origin;
  readonly daemons: readonly Daemon[];
  readonly replicas: readonly Replica[];
  readonly #redis: Redis | undefined;
  readonly #cut: Cut | undefined;
  readonly #env: NodeJS.ProcessEnv;
  readonly #others: Replica[] = [];

  private constructor(parts: Parts) {
    this.origin = parts.origin;
    this.#redis = parts.redis;
    this.#cut = parts.cut;
    this.daemons = parts.daemons;
    this.replicas = parts.replicas;
    this.#env = parts.env;
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    const { topology, app = "plain", deadlines = "patient", replicas: count = 2 } = options;
    const patient = deadlines === "patient";
    const env = { ...(patient ? PATIENT_ENV : {}), ...options.env };
    const flags = [...(patient ? PATIENT_FLAGS : []), ...(options.flags ?? [])];
    const origin = await Origin.start();
    const redis = topology === "redis" ? await Redis.start({ durable: options.durable ?? false }) : undefined;
    const cut = redis && options.cuttable ? await Cut.to(redis.url) : undefined;
    const ways = redis ? [redis.url, cut?.url ?? redis.url] : [undefined];
    const { token } = options;
    const startDaemon = (redis: string | undefined, index: number) =>
      Daemon.start({ name: `${topology}-daemon-${LETTERS[index]}`, redis, token, flags });
    const daemons = await Promise.all(ways.map(startDaemon));
    await buildOf(app); // once, if it was not done before
    const startReplica = (index: number) =>
      Replica.start({
        name: `${topology}-next-${LETTERS[index]}`,
        app,
        address: (daemons[index % daemons.length] as Daemon).address,
        originUrl: origin.url,
        env,
        handlerByEnvironment: options.handlerByEnvironment,
      });
    const replicas = await Promise.all(Array.from({ length: count }, (_, index) => startReplica(index)));
    const fleet = new Fleet({ origin, redis, cut, daemons, replicas, env });
    running.add(fleet);
    return fleet;
  }

  get a(): Replica {
    return this.replicas[0] as Replica;
  }

  get b(): Replica {
    return this.replicas[1] as Replica;
  }

  /**
   * One more replica, on the first daemon: a new container of the same image, or one of another app or build. It is not
   * among `replicas`, and stops with the fleet.
   */
  async another(options: { name: string } & Partial<ReplicaOptions>): Promise<Replica> {
    const { env, ...rest } = options;
    const address = (this.daemons[0] as Daemon).address;
    const common = { app: "plain", address, originUrl: this.origin.url, env: { ...this.#env, ...env } } as const;
    const replica = await Replica.start({ ...common, ...rest });
    this.#others.push(replica);
    return replica;
  }

  /** The daemon of a replica. */
  daemonOf(replica: Replica): Daemon {
    return this.daemons[this.replicas.indexOf(replica) % this.daemons.length] as Daemon;
  }

  /** The way from the second daemon to Redis, in a fleet that is `cuttable`. */
  get cut(): Cut {
    if (!this.#cut) throw new Error("this fleet cannot be cut");
    return this.#cut;
  }

  get redis(): Redis {
    if (!this.#redis) throw new Error("this fleet has no Redis");
    return this.#redis;
  }

  /**
   * Waits until every daemon vouches for what it knows: in the first second of a log, and while a daemon starts, each read
   * asks Redis, and build output is not taken. The page is any that is cached, and not the subject of the test.
   */
  async vouched(page = "/a/1k-anything"): Promise<void> {
    await eventually("every daemon vouches for what it knows", VOUCHED_TIMEOUT_MS, async () => {
      for (const replica of this.replicas) await replica.request(page);
      const vouched = await this.sum("isrd_cache_apps_vouched");
      if (vouched !== this.daemons.length) throw new Error(`${vouched} of ${this.daemons.length}`);
    });
  }

  /**
   * Waits until the reads of every replica reach its daemon again. That the daemon has its session is too early: it has it
   * before the replica was welcomed.
   */
  async reached(): Promise<void> {
    let pages = 0;
    for (const replica of this.replicas) {
      const gets = async (): Promise<number> => (await this.daemonOf(replica).metrics()).sum("isrd_cache_gets_total");
      await eventually(`the reads of ${replica.name} reach its daemon`, REACHED_TIMEOUT_MS, async () => {
        const before = await gets();
        pages += 1;
        await replica.request(`/a/1k-reached-${pages}`);
        if ((await gets()) === before) throw new Error("one did not");
      });
    }
  }

  /** The sum of a figure over all daemons. */
  async sum(name: string, labels?: Record<string, string>): Promise<number> {
    const readings = await Promise.all(this.daemons.map((daemon) => daemon.metrics()));
    return readings.reduce((sum, metrics) => sum + metrics.sum(name, labels), 0);
  }

  /** Stops everything: those that ask before those that answer. */
  async stop(): Promise<void> {
    running.delete(this);
    this.origin.releaseAll(); // replicas wait for the renders that are held
    const stopping = [
      () => Promise.all([...this.replicas, ...this.#others].map((replica) => replica.close())),
      () => Promise.all(this.daemons.map((daemon) => daemon.close())),
      () => this.#cut?.close(),
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
