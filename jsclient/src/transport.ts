import type { Address } from "./address.js";

/** The methods of the daemon that are called beside the session: two of the cache's, or any by its path. */
export type UnaryMethod = "get" | "set" | `/${string}`;

/** What a stream tells its owner. Called from the event loop, never from within a call of the owner. */
export interface StreamEvents {
  /** A frame arrived. */
  frame(bytes: Buffer): void;
  /**
   * The stream is over, for whatever reason; nothing follows. The error is a RefusedError if the daemon ended it with a
   * status that says so, else an IsrdError with the code `unavailable`.
   */
  end(error: Error): void;
}

/** The outgoing half of an open session. */
export interface Stream {
  /**
   * Queues a frame. Returns false, and has done nothing, if the queue is full: then the peer takes nothing at the moment.
   * A frame after the end is dropped; `end` tells of it.
   */
  send(frame: Buffer): boolean;
}

/** One connection to a daemon: bytes in, bytes out. The only thing that knows gRPC. */
export interface Transport {
  /** Opens the one session of this connection. */
  open(events: StreamEvents): Stream;
  /**
   * Calls a unary method beside the session.
   *
   * Rejects with a RefusedError (the daemon's status), or an IsrdError `timeout` or `unavailable`.
   */
  unary(method: UnaryMethod, request: Buffer, timeoutMs: number): Promise<Buffer>;
  /** Lets the connection keep the process alive (`true`) or not (`false`, as it is at first). */
  hold(alive: boolean): void;
  /** Ends the connection at once and with it everything that is under way. */
  close(): void;
}

/** How a connection is made. */
export interface DialOptions {
  /** Sent as `authorization: Bearer …` with every call. */
  readonly token: string | undefined;
  /** Gives up. The attempt is rejected, its socket destroyed. */
  readonly signal: AbortSignal;
}

/**
 * Connects to a daemon. The attempt never keeps the process alive.
 *
 * Rejects with an IsrdError `unavailable` whose message says why in words for people.
 */
export type Dial = (address: Address, options: DialOptions) => Promise<Transport>;
