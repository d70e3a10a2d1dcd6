import type { MessageInitShape } from "@bufbuild/protobuf";
import { IsrdError, messageOf } from "./errors.js";
import type { ReleaseRequestSchema } from "./gen/isrd/v1/cache_pb.js";
import type { Link } from "./link.js";
import type { Log } from "./log.js";

/** A lease to give back. */
export type Release = MessageInitShape<typeof ReleaseRequestSchema>;

/** Of more than this the oldest are left to their time-to-live. */
export const MAX_RELEASES = 1000;

/**
 * Leases that are given back, so that nobody waits for what will not come. One that the daemon has not taken yet waits
 * here; giving a lease back twice does no harm. All of them belong to one connection and end with it.
 */
export class Releases {
  readonly #log: Log;
  readonly #timeoutMs: number;
  readonly #waiting = new Set<Release>();

  /** The daemon is given `timeoutMs` to acknowledge; then it is told again, at the next opportunity. */
  constructor(log: Log, timeoutMs: number) {
    this.#log = log;
    this.#timeoutMs = timeoutMs;
  }

  remember(release: Release): void {
    this.#waiting.add(release);
    const [oldest] = this.#waiting;
    if (oldest && this.#waiting.size > MAX_RELEASES) this.#waiting.delete(oldest);
  }

  /** Sends what waits, over the connection that the leases came by. */
  send(link: Link): void {
    const releases = [...this.#waiting];
    this.#waiting.clear();
    for (const release of releases) this.give(link, release);
  }

  /** Sends one, now. */
  give(link: Link, release: Release): void {
    link.request({ case: "release", value: release }, { timeoutMs: this.#timeoutMs }).catch((error: unknown) => {
      this.#log.debug(`a lease was not released: ${messageOf(error)}`);
      const code = error instanceof IsrdError ? error.code : undefined;
      if (link.open && (code === "timeout" || code === "overloaded")) this.remember(release);
    });
  }

  /** The connection has ended, and its leases with it. */
  clear(): void {
    this.#waiting.clear();
  }
}
