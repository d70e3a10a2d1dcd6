import type { Daemon } from "./daemon.ts";
import { pageName } from "./expect.ts";
import { type Marker, markerIn } from "./http.ts";
import { type Message, Service } from "./service.ts";

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
  readonly #service: Service;
  readonly #app: string;

  constructor(daemon: Daemon, app = "plain") {
    this.#service = new Service(daemon, "cache.proto", "CacheService");
    this.#app = app;
  }

  /** Expires tags. True: no read that begins from now on is answered by what they had, by any replica. */
  async revalidate(...tags: string[]): Promise<boolean> {
    const revalidations = tags.map((tag) => ({ tag }));
    return (await this.#service.call("Revalidate", { app: this.#app, revalidations })).fleetWide === true;
  }

  /** What the daemon has of a page of the App Router below /a. It renders nothing, and with `lease` it may have to. */
  async get(page: string, buildId: string, options: { lease?: boolean } = {}): Promise<Known> {
    const key = { app: this.#app, build: { buildId }, space: "SPACE_ROUTE", name: pageName(page) };
    const reply = await this.#service.call("Get", { key, noLease: !options.lease });
    const { parts = [] } = (reply.entry ?? {}) as { parts?: { name: string; data: Buffer }[] };
    const html = parts.find(({ name }) => name === "html")?.data.toString() ?? "";
    const { token = "0" } = (reply.lease ?? {}) as { token?: string };
    return { status: String(reply.status), reason: String(reply.reason), marker: markerIn(html), lease: token, key };
  }

  /** Ends a lease as a process does whose render came to its end and is not to be stored. */
  async complete({ key, lease }: Known): Promise<boolean> {
    return (await this.#service.call("Release", { key, leaseToken: lease, completed: true })).released === true;
  }

  close(): void {
    this.#service.close();
  }
}
