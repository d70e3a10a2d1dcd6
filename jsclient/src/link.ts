import type { MessageInitShape } from "@bufbuild/protobuf";
import { BLOCKED_MS, PATIENCE } from "./deadline.js";
import { IsrdError, messageOf, RefusedError } from "./errors.js";
import type { SessionRequestSchema, SessionResponse } from "./gen/isrd/v1/cache_pb.js";
import type { Pong } from "./gen/isrd/v1/session_pb.js";
import { Heartbeat } from "./heartbeat.js";
import { Jobs, type Work } from "./jobs.js";
import type { Stream, Transport, UnaryMethod } from "./transport.js";
import { decodeFrame, encodeFrame, idOfFrame } from "./wire.js";

/** A frame of either side, without its id. */
export type RequestFrame = NonNullable<MessageInitShape<typeof SessionRequestSchema>["frame"]>;
export type ResponseFrame = SessionResponse["frame"];

/** What a link tells its owner. */
export interface LinkEvents {
  /** A frame that answers no request: welcome, events, reset, go-away, a refusal of the session. */
  announcement(frame: ResponseFrame): void;
  /** The answer to the heartbeat's open ping, and when that was sent, by `performance.now()`. */
  pong(pong: Pong, sentAt: number): void;
  /** A frame could not be read; it was left out. */
  unreadable(message: string): void;
  /** The peer has stopped answering; the connection still stands. */
  silent(): void;
  /** A frame came after `silent`. */
  alive(): void;
  /** The connection is over. All requests have been rejected with an IsrdError `unavailable`. */
  end(error: Error): void;
}

/** Takes an answer that came after its request was given up: something may have to be given back. */
export type Unwanted = (frame: ResponseFrame) => void;

interface Pending {
  readonly resolve: (frame: ResponseFrame) => void;
  readonly reject: (error: Error) => void;
  readonly sentAt: number;
  readonly timeoutMs: number;
  readonly unwanted: Unwanted | undefined;
  timer: NodeJS.Timeout;
  /** When the peer must have been heard, and when it is over in any case. */
  dueAt: number;
  limitAt: number;
  readonly patient: boolean;
  parked: boolean;
}

/** How a request is made. */
export interface RequestOptions {
  /** The longest that the first frame of an answer may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Wait for longer while the peer says anything, up to PATIENCE times that: what follows in its place costs more. */
  readonly patient?: boolean;
  /** Withdraw the request when it is given up. An answer that comes all the same, at most one, is handed over here. */
  readonly unwanted?: Unwanted;
}

/** Of more withdrawn requests than this, the oldest are forgotten: their answers will not come any more. */
const MAX_WITHDRAWN = 4096;

/**
 * One connection with its one stream: numbers requests, matches answers, keeps deadlines, sends heartbeats. Holds the
 * process alive exactly while a request is open, or a job of the peer's under way. Single use; never reconnects.
 */
export class Link {
  readonly #transport: Transport;
  readonly #events: LinkEvents;
  readonly #stream: Stream;
  readonly #pending = new Map<bigint, Pending>();
  /** Requests that were given up and may yet be answered. */
  readonly #withdrawn = new Map<bigint, Unwanted>();
  /** Those of them whose withdrawal found the queue full. */
  readonly #unsaid = new Set<bigint>();
  readonly #jobs: Jobs;
  #lastId = 0n;
  #openRequests = 0;
  #lastFrameAt = performance.now();
  #silent = false;
  #over: Error | undefined;
  #draining = false;
  #heartbeat: Heartbeat | undefined;

  /** `work` is what the process has offered to do for others; without it, none. */
  constructor(transport: Transport, events: LinkEvents, work?: Work) {
    this.#transport = transport;
    this.#events = events;
    this.#jobs = new Jobs({
      work,
      send: (id, value) => this.#stream.send(encodeFrame({ id, frame: { case: "jobResult", value } })),
      hold: (change) => this.#hold(change),
    });
    this.#stream = transport.open({ frame: (bytes) => this.#receive(bytes), end: (error) => this.#end(error) });
  }

  /** Whether requests can still be made. */
  get open(): boolean {
    return this.#over === undefined;
  }

  /** Sends a frame that has no answer. */
  announce(frame: RequestFrame): void {
    this.#stream.send(encodeFrame({ frame }));
  }

  /** Sends a request made of a frame. See {@link exchange}. */
  request(frame: RequestFrame, options: RequestOptions): Promise<ResponseFrame> {
    return this.exchange((id) => encodeFrame({ id, frame }), options);
  }

  /**
   * Sends a request and returns its answer. A `waiting` frame extends the deadline to the limit that it names, for as
   * long as heartbeats come back.
   *
   * Rejects with an IsrdError `timeout`, `overloaded` or `unavailable`, or with a RefusedError.
   */
  exchange(
    encode: (id: bigint) => Buffer,
    { timeoutMs, unwanted, patient = false }: RequestOptions,
  ): Promise<ResponseFrame> {
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(this.#over);
      this.#lastId += 1n;
      const id = this.#lastId;
      if (!this.#stream.send(encode(id))) {
        return reject(
          new IsrdError("overloaded", "the daemon takes nothing at the moment: the outgoing queue is full"),
        );
      }
      const sentAt = performance.now();
      const limitAt = sentAt + PATIENCE * timeoutMs;
      const pending = { resolve, reject, sentAt, timeoutMs, limitAt, unwanted, patient, parked: false };
      this.#pending.set(id, { ...pending, ...this.#due(id, timeoutMs) });
      this.#hold(1);
    });
  }

  /** Calls a unary method on the same connection, beside the stream. Rejects as {@link exchange} does. */
  async unary(method: UnaryMethod, request: Buffer, timeoutMs: number): Promise<Buffer> {
    if (this.#over) throw this.#over;
    this.#hold(1);
    try {
      return await this.#transport.unary(method, request, timeoutMs);
    } finally {
      this.#hold(-1);
    }
  }

  /** Begins to send pings, one at a time, and to watch for a peer that answers none. */
  startHeartbeat(intervalMs: number, timeoutMs: number, ping: () => RequestFrame): void {
    if (this.#over) return;
    this.#heartbeat = new Heartbeat({
      intervalMs,
      timeoutMs,
      ping: () => {
        this.#sayWithdrawals();
        this.#lastId += 1n;
        return this.#stream.send(encodeFrame({ id: this.#lastId, frame: ping() })) ? this.#lastId : undefined;
      },
      heardAt: () => this.#lastFrameAt,
      silent: () => this.#fallSilent(),
    });
  }

  /**
   * Ends the link as soon as its open requests are answered, at the latest after `limitMs`. While the peer waits for jobs
   * it is the peer who ends it: a report that was just sent would be lost.
   */
  drain(limitMs: number): void {
    this.#draining = this.#jobs.idle;
    const reason = new IsrdError("unavailable", "the daemon asked for a new session");
    if (this.#draining && this.#openRequests === 0) this.close(reason);
    else setTimeout(() => this.close(reason), limitMs).unref();
  }

  /** Ends the link now. */
  close(reason: Error): void {
    if (this.#over) return;
    this.#end(reason);
  }

  #receive(bytes: Buffer): void {
    this.#lastFrameAt = performance.now();
    let response: SessionResponse;
    try {
      response = decodeFrame(bytes);
    } catch (error) {
      // The stream itself is sound, and the others need it.
      const id = idOfFrame(bytes);
      this.#heartbeat?.answered(id);
      this.#giveUp(id, new IsrdError("unreadable", "the daemon's answer cannot be read"));
      this.#events.unreadable(messageOf(error));
      return;
    }
    this.#sayWithdrawals();
    if (this.#silent) {
      this.#silent = false;
      this.#events.alive();
    }
    this.#dispatch(response);
  }

  #dispatch({ id, frame }: SessionResponse): void {
    if (frame.case === "pong") {
      const sentAt = this.#heartbeat?.answered(id);
      if (sentAt !== undefined) this.#events.pong(frame.value, sentAt);
      return;
    }
    if (frame.case === "job") {
      this.#jobs.take(id, frame.value); // Its id is one of the peer's own.
      return;
    }
    if (frame.case === "jobCancel") {
      this.#jobs.withdraw(frame.value.id);
      return;
    }
    const pending = id === 0n ? undefined : this.#pending.get(id);
    if (!pending) {
      // An answer that came too late, or one of this version's future.
      if (id === 0n) this.#events.announcement(frame);
      else if (frame.case !== "waiting") this.#takeUnwanted(id, frame);
      return;
    }
    if (frame.case === "waiting") {
      this.#park(id, pending, frame.value.limitMs);
      return;
    }
    this.#settle(id, pending);
    if (frame.case === "refusal") pending.reject(new RefusedError(frame.value.code, frame.value.message));
    else pending.resolve(frame);
  }

  #park(id: bigint, pending: Pending, limitMs: number): void {
    const { timeoutMs } = pending;
    clearTimeout(pending.timer);
    Object.assign(pending, this.#due(id, limitMs + timeoutMs), { parked: true });
    pending.limitAt = pending.dueAt + (PATIENCE - 1) * timeoutMs;
  }

  #due(id: bigint, afterMs: number): Pick<Pending, "timer" | "dueAt"> {
    return { timer: setTimeout(() => this.#expire(id), afterMs), dueAt: performance.now() + afterMs };
  }

  /**
   * A deadline has passed. Timers run before the socket is read, so after a long render on this thread the answer may
   * already be here: it gets one turn of the event loop to be seen. If this thread was away meanwhile the question may not
   * even have been sent, and if the peer has said anything it does not hang: there is another deadline, up to the limit.
   */
  #expire(id: bigint): void {
    const timer = this.#pending.get(id)?.timer;
    setImmediate(() => {
      const pending = this.#pending.get(id);
      if (!pending || pending.timer !== timer) return;
      const now = performance.now();
      const away = now - pending.dueAt > BLOCKED_MS;
      const heard = pending.patient && this.#lastFrameAt > pending.dueAt - pending.timeoutMs;
      if ((away || heard) && now < pending.limitAt) {
        Object.assign(pending, this.#due(id, Math.min(pending.timeoutMs, pending.limitAt - now)));
        return;
      }
      this.#giveUp(id, new IsrdError("timeout", `the daemon did not answer within ${pending.timeoutMs} ms`));
      if (this.#lastFrameAt < pending.sentAt) this.#fallSilent();
    });
  }

  /** Nobody waits for this request any longer; the daemon is told if it was to be. */
  #giveUp(id: bigint, error: IsrdError): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    if (pending.unwanted) this.#withdraw(id, pending.unwanted);
    this.#settle(id, pending);
    pending.reject(error);
  }

  #withdraw(id: bigint, unwanted: Unwanted): void {
    this.#withdrawn.set(id, unwanted);
    this.#unsaid.add(id);
    const [oldest] = this.#withdrawn.keys();
    if (oldest !== undefined && this.#withdrawn.size > MAX_WITHDRAWN) {
      this.#withdrawn.delete(oldest);
      this.#unsaid.delete(oldest);
    }
    this.#sayWithdrawals();
  }

  #sayWithdrawals(): void {
    for (const id of this.#unsaid) {
      if (!this.#stream.send(encodeFrame({ id, frame: { case: "cancel", value: {} } }))) return;
      this.#unsaid.delete(id);
    }
  }

  #takeUnwanted(id: bigint, frame: ResponseFrame): void {
    const unwanted = this.#withdrawn.get(id);
    this.#withdrawn.delete(id);
    this.#unsaid.delete(id);
    unwanted?.(frame);
  }

  /** Nobody who is parked is served by a peer that does not even answer heartbeats. */
  #fallSilent(): void {
    if (this.#silent || this.#over) return;
    this.#silent = true;
    for (const [id, { parked }] of this.#pending) {
      if (parked) this.#giveUp(id, new IsrdError("timeout", "the daemon stopped answering while this request waited"));
    }
    this.#events.silent();
  }

  #settle(id: bigint, pending: Pending): void {
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    this.#hold(-1);
  }

  #hold(change: 1 | -1): void {
    const before = this.#openRequests;
    this.#openRequests += change;
    if (before === 0 || this.#openRequests === 0) this.#transport.hold(this.#openRequests > 0);
    if (this.#draining && this.#openRequests === 0)
      this.close(new IsrdError("unavailable", "the daemon asked for a new session"));
  }

  #end(error: Error): void {
    if (this.#over) return;
    this.#over = error instanceof IsrdError && error.code === "unavailable" ? error : gone(error);
    this.#heartbeat?.stop();
    this.#jobs.end();
    for (const [id, pending] of [...this.#pending]) {
      this.#settle(id, pending);
      pending.reject(this.#over);
    }
    this.#transport.close();
    this.#events.end(error);
  }
}

function gone(cause: Error): IsrdError {
  return new IsrdError("unavailable", `the connection ended: ${cause.message}`, { cause });
}
