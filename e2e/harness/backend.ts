import path from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import type { Daemon } from "./daemon.ts";
import { pageName } from "./expect.ts";
import { type Marker, markerIn } from "./http.ts";
import { ROOT } from "./paths.ts";

const DEADLINE_MS = 10_000;

type Message = Record<string, unknown>;
type Method = (request: Message, options: grpc.CallOptions, done: grpc.requestCallback<Message>) => void;

/** What a daemon says of a page, and of which render that is. */
export interface Known {
  readonly status: string;
  readonly reason: string;
  readonly marker: Marker | undefined;
  /** The lease's token; "0" if none was granted. */
  readonly lease: string;
  readonly key: Message;
}

/** A backend that talks to a daemon without Next.js: with the contract from `proto`, and no code of isrd. */
export class Backend {
  readonly #client: grpc.Client;
  readonly #app: string;

  constructor(daemon: Daemon, app = "plain") {
    const contract = loader.loadSync("isrd/v1/cache.proto", {
      includeDirs: [path.join(ROOT, "proto")],
      defaults: true,
      enums: String,
      longs: String,
    });
    const service = contract["isrd.v1.CacheService"] as grpc.ServiceDefinition;
    const Client = grpc.makeClientConstructor(service, "CacheService");
    this.#client = new Client(daemon.address, grpc.credentials.createInsecure(), {
      // A daemon that was started again is to be found at once.
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 100,
    });
    this.#app = app;
  }

  /** Expires tags. True: no read that begins from now on is answered by what they had, by any replica. */
  async revalidate(...tags: string[]): Promise<boolean> {
    const revalidations = tags.map((tag) => ({ tag }));
    return (await this.#call("Revalidate", { app: this.#app, revalidations })).fleetWide === true;
  }

  /** What the daemon has of a page of the App Router below /a. It renders nothing, and with `lease` it may have to. */
  async get(page: string, buildId: string, options: { lease?: boolean } = {}): Promise<Known> {
    const key = { app: this.#app, build: { buildId }, space: "SPACE_ROUTE", name: pageName(page) };
    const reply = await this.#call("Get", { key, noLease: !options.lease });
    const { parts = [] } = (reply.entry ?? {}) as { parts?: { name: string; data: Buffer }[] };
    const html = parts.find(({ name }) => name === "html")?.data.toString() ?? "";
    const { token = "0" } = (reply.lease ?? {}) as { token?: string };
    return { status: String(reply.status), reason: String(reply.reason), marker: markerIn(html), lease: token, key };
  }

  /** Ends a lease as a process does whose render came to its end and is not to be stored. */
  async complete({ key, lease }: Known): Promise<boolean> {
    return (await this.#call("Release", { key, leaseToken: lease, completed: true })).released === true;
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
