import type { MessageInitShape } from "@bufbuild/protobuf";
import { Backoff } from "./backoff.js";
import { type Deferred, deferred, within } from "./deadline.js";
import { Delivery } from "./delivery.js";
import { dialFirst } from "./dialling.js";
import { toError, unavailable } from "./errors.js";
import { Following } from "./following.js";
import type { GetRequestSchema, GetResponse, SetResponse } from "./gen/isrd/v1/cache_pb.js";
import type { Position } from "./gen/isrd/v1/entry_pb.js";
import type { Welcome } from "./gen/isrd/v1/session_pb.js";
import { greet, type LinkObserver } from "./greeting.js";
import { DEFAULT_LIMITS, type Limits, limitsOf } from "./limits.js";
import type { Link, ResponseFrame } from "./link.js";
import type { TagMark } from "./outbox.js";
import { type Release, Releases } from "./releases.js";
import { isLasting, Report } from "./report.js";
import { Requests } from "./requests.js";
import { type Offer, Resume } from "./resume.js";
import type { SessionOptions, SessionState } from "./session-options.js";
import type { Transport, UnaryMethod } from "./transport.js";

const DIAL_TIMEOUT_MS = 1000;
/** A connection that has been silent for so long is given up; until then it may go on where it stopped. */
const SILENCE_LIMIT_MS = 10_000;
const DRAIN_LIMIT_MS = 30_000;

/**
 * The process's session with its daemon, over as many connections as it takes. Connects when first used, greets, sends
 * what was revalidated meanwhile, and only then lets requests through. No method waits longer than its deadline, and
 * while the daemon is known to be away they fail at once.
 */
export class Session {
  readonly #options: SessionOptions;
  readonly #requests: Requests;
  readonly #delivery: Delivery;
  readonly #releases: Releases;
  readonly #report: Report;
  readonly #observer: Omit<LinkObserver, "welcomed">;
  readonly #following: Following;
  readonly #resume: Resume;
  readonly #backoff: Backoff;
  #state: SessionState = "idle";
  #reason = "";
  #limits = DEFAULT_LIMITS;
  /** The link that requests go through; only while ready. */
  #link: Link | undefined;
  /** The link that was welcomed and has not ended; while away it may come back to life. */
  #bound: Link | undefined;
  /** What requests wait for; only while connecting. */
  #opening: Deferred<void> | undefined;
  /** The address of the last connection, for people. */
  #where = "";
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#following = new Following(options.memory);
    this.#resume = new Resume(options.leases);
    this.#delivery = new Delivery(options.log, (position) => this.#following.answered(position));
    this.#releases = new Releases(options.log, options.timeoutMs);
    this.#requests = new Requests({
      timeoutMs: options.timeoutMs,
      link: () => this.#link,
      opened: (timeoutMs) => this.#opened(timeoutMs),
      giveBack: (link, release) => this.#releases.give(link, release),
    });
    this.#report = new Report(options.log);
    this.#backoff = new Backoff(options.random);
    this.#observer = {
      work: options.work,
      heard: (link, frame) => this.#heard(link, frame),
      pong: (link, pong, sentAt) => {
        if (link !== this.#bound) return;
        this.#following.pong(pong, sentAt);
        this.#releases.send(link);
      },
      unreadable: (message) => options.log.warnSeldom("unreadable", `a frame could not be read: ${message}`),
      silent: (link) => this.#fellSilent(link),
      alive: (link) => void this.#cameAlive(link),
      ended: (link, error) => this.#ended(link, error),
    };
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Why the session is away; empty if it is not. */
  get reason(): string {
    return this.#state === "away" ? this.#reason : "";
  }

  /** The last position of the log that was applied here, also while away. Undefined before the first welcome. */
  get position(): Position | undefined {
    return this.#following.position;
  }

  /** Whether what this process has in its memory is as good as an answer of the daemon. */
  get vouched(): boolean {
    return this.#link !== undefined && this.#following.vouched;
  }

  /** The address of the daemon in use, for people; empty while there is none. */
  get where(): string {
    return this.#link ? this.#where : "";
  }

  /** The connection that requests go over now. */
  get via(): object | undefined {
    return this.#link;
  }

  get limits(): Limits {
    return this.#limits;
  }

  /** How many tags wait to be revalidated. */
  get undelivered(): number {
    return this.#delivery.waiting;
  }

  /**
   * Reads. The deadline covers the first frame; an answer that the daemon has announced is waited for as long as it said.
   * `via` is the connection that it came over.
   *
   * Rejects with an IsrdError, and so do all methods below but `release` and `revalidate`.
   */
  async get(request: MessageInitShape<typeof GetRequestSchema>): Promise<{ response: GetResponse; via: object }> {
    const answer = await this.#requests.get(request);
    this.#following.answered(answer.response.asOf);
    return answer;
  }

  /** Writes what `encode` makes for an id. A write that is not acknowledged in time may still have been done. */
  set(encode: (id: bigint) => Buffer): Promise<SetResponse> {
    return this.#requests.set(encode);
  }

  /** Calls a unary method beside the stream, with what `encode` makes once there is a connection. */
  unary(method: UnaryMethod, encode: () => Buffer, timeoutMs: number): Promise<Buffer> {
    return this.#requests.unary(method, encode, timeoutMs);
  }

  /** Waits until everything up to a position has been applied here. */
  applied(position: Position, timeoutMs: number): Promise<void> {
    return this.#following.reached(position, timeoutMs);
  }

  /** Gives a lease back; to a silent daemon as soon as it answers again. Without a connection the next does not claim it. */
  release(release: Release): void {
    if (!this.#bound) return;
    this.#releases.remember(release);
    if (this.#link) this.#releases.send(this.#link);
  }

  /**
   * Marks tags. Returns once the daemon has acknowledged them or the deadline is over; what is not acknowledged by then
   * is remembered, and sent before anything is read over a new connection. Never rejects.
   */
  async revalidate(marks: readonly TagMark[]): Promise<void> {
    this.#delivery.remember(marks);
    const timeoutMs = this.#options.revalidateTimeoutMs;
    const startedAt = performance.now();
    const link = this.#link ?? (await this.#opened(timeoutMs).catch(() => undefined));
    const tags = new Set(marks.map((mark) => mark.tag));
    if (link) await this.#delivery.send(link, tags, Math.max(1, timeoutMs - (performance.now() - startedAt)));
  }

  /** Begins to connect, where nothing has been asked for yet. */
  connect(): void {
    if (this.#state === "idle") this.#start(0);
  }

  /** Ends the session for ever. */
  close(): void {
    this.#leave("closed", "the session is closed");
    clearTimeout(this.#timer);
    this.#delivery.close();
    this.#attempt += 1;
    this.#unbind()?.close(unavailable("the session is closed"));
  }

  /** The link, once there is one. */
  async #opened(timeoutMs: number): Promise<Link> {
    this.connect();
    if (!this.#opening) throw unavailable(this.#reason);
    await within(this.#opening.promise, timeoutMs, () => {
      // Whoever comes next need not pay the same: the attempt goes on, but nobody waits for it.
      const reason = `the daemon was not connected within ${timeoutMs} ms`;
      if (this.#state === "connecting") this.#goAway(unavailable(reason));
      return unavailable(reason); // and not a timeout: nothing was sent, so a lease will not end by itself
    });
    if (!this.#link) throw unavailable(this.#reason);
    return this.#link;
  }

  /** Begins to connect, with requests waiting for it. */
  #start(delayMs: number): void {
    this.#state = "connecting";
    this.#backoff.reset();
    this.#opening = deferred();
    this.#schedule(delayMs);
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), delayMs).unref();
  }

  async #connect(): Promise<void> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    let link: Link | undefined;
    try {
      const transport = await this.#dial();
      link = await this.#greet(transport);
      if (link !== this.#bound) throw unavailable(this.#reason);
      await this.#becomeReady(link);
    } catch (error) {
      if (link && link === this.#bound) this.#unbind();
      link?.close(toError(error));
      if (attempt === this.#attempt) this.#failed(toError(error));
    }
  }

  async #dial(): Promise<Transport> {
    const { addresses, dial, token } = this.#options;
    const { transport, address } = await dialFirst(addresses(), { dial, token, timeoutMs: DIAL_TIMEOUT_MS });
    this.#where = address.text;
    return transport;
  }

  #greet(transport: Transport): Promise<Link> {
    const offer = this.#resume.offer(this.#following.position);
    return greet(transport, this.#options.hello(offer.resume), {
      ...this.#observer,
      welcomed: (link, welcome, sentAt) => this.#welcomed(link, { welcome, sentAt, offer }),
    });
  }

  #welcomed(link: Link, { welcome, sentAt, offer }: { welcome: Welcome; sentAt: number; offer: Offer }): void {
    if (this.#state === "closed") {
      link.close(unavailable(this.#reason));
      return;
    }
    this.#bound = link;
    this.#following.welcomed(welcome, sentAt);
    for (const release of this.#resume.welcomed(welcome, offer)) this.#releases.remember(release);
    this.#limits = limitsOf(welcome);
    link.startHeartbeat(this.#limits.pingMs, this.#options.timeoutMs, () => {
      const position = this.#following.position;
      return { case: "ping", value: position ? { position } : {} };
    });
  }

  /** Sends what waits in the outbox; when the daemon has it, requests go through. */
  async #becomeReady(link: Link): Promise<void> {
    this.#delivery.recall();
    // What is revalidated in the turn after the last batch belongs to nobody else: looked at again until nothing waits.
    while (this.#delivery.unanswered > 0) await this.#delivery.sendAll(link, this.#options.revalidateTimeoutMs);
    if (link !== this.#bound) throw unavailable("the connection ended");
    clearTimeout(this.#timer);
    this.#link = link;
    this.#state = "ready";
    this.#backoff.reset();
    this.#releases.send(link);
    this.#report.connected(this.#where);
    this.#options.onReady?.();
    this.#opening?.resolve();
    this.#opening = undefined;
  }

  #heard(link: Link, frame: ResponseFrame): void {
    if (link !== this.#bound) return;
    if (frame.case === "goAway") this.#moveOn(link, frame.value.reason, frame.value.reconnectAfterMs);
    if (frame.case === "events") this.#following.events(frame.value.events);
    else if (frame.case === "reset") this.#following.reset(frame.value.position);
    else return;
    this.#acknowledge(link);
  }

  #acknowledge(link: Link): void {
    const { position } = this.#following;
    if (position) link.announce({ case: "eventsAck", value: { position } });
  }

  #moveOn(link: Link, reason: string, afterMs: number): void {
    this.#unbind();
    link.drain(DRAIN_LIMIT_MS);
    const delayMs = afterMs + this.#backoff.reconnectMs();
    if (afterMs > 0) {
      this.#goAway(unavailable(`the daemon is going away: ${reason}`));
      this.#schedule(delayMs);
    } else this.#start(delayMs);
  }

  #fellSilent(link: Link): void {
    if (link !== this.#bound) return;
    const error = unavailable("the daemon has stopped answering");
    this.#following.pause();
    this.#goAway(error);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => link.close(error), SILENCE_LIMIT_MS).unref();
  }

  async #cameAlive(link: Link): Promise<void> {
    if (link !== this.#bound || this.#state !== "away") return;
    try {
      await this.#becomeReady(link);
    } catch (error) {
      if (link === this.#bound) link.close(toError(error));
    }
  }

  #ended(link: Link, error: Error): void {
    if (link !== this.#bound) return;
    this.#unbind();
    if (this.#state === "ready" && !isLasting(error)) this.#start(this.#backoff.reconnectMs());
    else if (this.#state === "ready" || this.#state === "away") this.#failed(error);
    // While connecting, whoever connects sees the error itself.
  }

  #unbind(): Link | undefined {
    const link = this.#bound;
    this.#releases.clear();
    this.#following.pause();
    this.#bound = undefined;
    this.#link = undefined;
    return link;
  }

  #failed(error: Error): void {
    this.#goAway(error);
    this.#schedule(this.#backoff.failedMs(isLasting(error)));
  }

  #goAway(error: Error): void {
    this.#leave("away", error.message);
    this.#report.unavailable(error);
  }

  #leave(state: "away" | "closed", reason: string): void {
    this.#state = state;
    this.#reason = reason;
    this.#link = undefined;
    this.#opening?.reject(unavailable(reason));
    this.#opening = undefined;
  }
}
