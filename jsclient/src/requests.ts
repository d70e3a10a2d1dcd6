import type { MessageInitShape } from "@bufbuild/protobuf";
import { IsrdError } from "./errors.js";
import type { GetRequestSchema, GetResponse, SetResponse } from "./gen/isrd/v1/cache_pb.js";
import type { Link, ResponseFrame } from "./link.js";
import type { Release } from "./releases.js";
import type { UnaryMethod } from "./transport.js";

/** What requests need of their session. */
export interface RequestsOptions {
  /** The longest that a request waits for a first sign, connecting included, in milliseconds. */
  readonly timeoutMs: number;
  /** The link in use, if there is one now. */
  readonly link: () => Link | undefined;
  /** Waits for a link. Rejects with an IsrdError. */
  readonly opened: (timeoutMs: number) => Promise<Link>;
  /** A lease came over this link for somebody who waits no longer. */
  readonly giveBack: (link: Link, release: Release) => void;
}

/** The requests of a session, each within its deadline. */
export class Requests {
  readonly #options: RequestsOptions;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  /** The answer, and the connection that it came over. */
  async get(request: MessageInitShape<typeof GetRequestSchema>): Promise<{ response: GetResponse; via: Link }> {
    const { link: current, opened, timeoutMs, giveBack } = this.#options;
    const startedAt = performance.now();
    const link = current() ?? (await opened(timeoutMs));
    const frame = await link.request(
      { case: "get", value: request },
      {
        timeoutMs: this.#left(startedAt),
        patient: true,
        unwanted: ({ case: kind, value }) => {
          const leaseToken = kind === "get" ? value.lease?.token : undefined;
          if (leaseToken && request.key) giveBack(link, { key: request.key, leaseToken });
        },
      },
    );
    if (frame.case !== "get") throw unexpected(frame);
    return { response: frame.value, via: link };
  }

  async set(encode: (id: bigint) => Buffer): Promise<SetResponse> {
    const startedAt = performance.now();
    const link = this.#options.link() ?? (await this.#options.opened(this.#options.timeoutMs));
    const frame = await link.exchange(encode, { timeoutMs: this.#left(startedAt), patient: true });
    if (frame.case !== "set") throw unexpected(frame);
    return frame.value;
  }

  async unary(method: UnaryMethod, encode: () => Buffer, timeoutMs: number): Promise<Buffer> {
    const link = this.#options.link() ?? (await this.#options.opened(this.#options.timeoutMs));
    return link.unary(method, encode(), timeoutMs);
  }

  #left(startedAt: number): number {
    return Math.max(1, this.#options.timeoutMs - (performance.now() - startedAt));
  }
}

function unexpected(frame: ResponseFrame): IsrdError {
  return new IsrdError("unreadable", `the daemon answered with ${frame.case ?? "nothing that this version knows"}`);
}
