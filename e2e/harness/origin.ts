import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

/** Holds the answers to one resource. */
export interface Latch {
  /** Resolves when so many requests have come since the latch was set. */
  arrived(count: number): Promise<void>;
  /** Answers those that were held, and all that come later at once. */
  release(): void;
  /** The same, but those that were held are answered with an error: their renders throw. */
  fail(): void;
}

interface Held {
  count: number;
  readonly release: (status: number) => void;
  /** The status of the answers to those that were held. */
  readonly open: Promise<number>;
  readonly arrivals: Set<() => void>;
}

/**
 * The backend of the apps. A render of a page begins with `POST /renders<path>`, which gives it a number of its own;
 * data is read by `GET /data/<name>`. Both carry the version of the last path segment, as it was when the request came,
 * so that tests can make data new; both are counted, and can be held.
 */
export class Origin {
  readonly #server = http.createServer((request, response) => void this.#answer(request, response));
  readonly #calls = new Map<string, number>();
  readonly #versions = new Map<string, number>();
  readonly #latches = new Map<string, Held>();
  readonly #begun = new Map<number, number>();
  #lastRender = 0;

  static async start(): Promise<Origin> {
    const origin = new Origin();
    origin.#server.keepAliveTimeout = 0; // never: the apps must not meet a connection that is just being closed
    origin.#server.listen(0, "127.0.0.1");
    await once(origin.#server, "listening");
    return origin;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many requests came for a resource, such as `/data/x`. */
  calls(resource: string): number {
    return this.#calls.get(resource) ?? 0;
  }

  /** How many renders of a page have begun. */
  renders(page: string): number {
    return this.calls(`/renders${page}`);
  }

  /** How many renders of all pages have begun. */
  get allRenders(): number {
    return this.#lastRender;
  }

  /** When a render began, as `performance.now()` has it. */
  begunAt(render: number): number {
    return this.#begun.get(render) ?? Number.NaN;
  }

  /** Makes the data behind a name new, and returns its version. Versions begin with 1. */
  bump(name: string): number {
    const version = this.#version(name) + 1;
    this.#versions.set(name, version);
    return version;
  }

  /**
   * Holds the answers to a resource, such as `/renders/a/x`. A latch takes the place of an earlier one: what that holds
   * stays held, and what comes from now on is held by the new.
   */
  hold(resource: string): Latch {
    let release: (status: number) => void = () => {};
    const open = new Promise<number>((resolve) => {
      release = resolve;
    });
    const held: Held = { count: 0, release, open, arrivals: new Set() };
    this.#latches.set(resource, held);
    const end = (status: number): void => {
      if (this.#latches.get(resource) === held) this.#latches.delete(resource);
      release(status);
    };
    return {
      arrived: (count) =>
        new Promise((resolve) => {
          const check = (): void => {
            if (held.count < count) return;
            held.arrivals.delete(check);
            resolve();
          };
          held.arrivals.add(check);
          check();
        }),
      release: () => end(200),
      fail: () => end(500),
    };
  }

  /** Answers all that is held, so that whoever waits for it can end. */
  releaseAll(): void {
    for (const held of this.#latches.values()) held.release(200);
    this.#latches.clear();
  }

  /** Stops at once; what is held is cut. */
  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const resource = new URL(request.url ?? "/", "http://origin").pathname;
    request.resume();
    this.#calls.set(resource, this.calls(resource) + 1);
    const name = resource.slice(resource.lastIndexOf("/") + 1);
    const version = this.#version(name);
    const render = resource.startsWith("/renders/") ? ++this.#lastRender : undefined;
    if (render !== undefined) this.#begun.set(render, performance.now());
    const held = this.#latches.get(resource);
    if (held) {
      held.count += 1;
      for (const check of [...held.arrivals]) check();
      response.statusCode = await held.open;
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ name, version, render }));
  }

  #version(name: string): number {
    return this.#versions.get(name) ?? 1;
  }
}
