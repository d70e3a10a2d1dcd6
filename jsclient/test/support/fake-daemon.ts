import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type GetRequest,
  GetRequestSchema,
  GetResponseSchema,
  type Revalidation,
  type SessionRequest,
  SessionRequestSchema,
  SessionResponseSchema,
  type SetRequest,
  SetRequestSchema,
  SetResponseSchema,
} from "../../src/gen/isrd/v1/cache_pb.js";
import type { Hello, JobSchema, WelcomeSchema } from "../../src/gen/isrd/v1/session_pb.js";
import type { UnaryMethod } from "../../src/transport.js";
import { type FakeEvent, FakeStore, type Holder, type Plain } from "./fake-store.js";

type ResponseFrame = NonNullable<MessageInitShape<typeof SessionResponseSchema>["frame"]>;

/** The client's side of one connection to a fake daemon. */
export interface Peer {
  send(bytes: Buffer): void;
  /** Ends the stream with a gRPC status. */
  end(code: number, details: string): void;
}

/** The daemon's side. */
export interface Accepted {
  receive(bytes: Uint8Array): void;
  gone(): void;
}

type Marked = Pick<Revalidation, "tag" | "expireSeconds">;

/** What the daemon knows of one session. */
interface Session {
  readonly id: string;
  readonly holder: Holder;
  /** What its client has applied. */
  acked: bigint;
  /** Until then it may serve what it has without asking. */
  promisedUntil: number;
}

/**
 * A daemon in a few lines, for what a real one cannot be made to do: to say nothing, to say too much, to send events at a
 * chosen moment. Knows no transport.
 */
export class FakeDaemon {
  readonly store = new FakeStore();
  /** All frames that arrived, over all connections. */
  readonly received: SessionRequest[] = [];
  /** Names of the unary methods that were called. */
  readonly unary: string[] = [];
  welcome: Plain<typeof WelcomeSchema> = {};
  token: string | undefined;
  /** Takes no notice of anything that arrives from now on. */
  deaf = false;
  /** Answers instead of the daemon: returning true means that it did. */
  intercept: ((request: SessionRequest, answer: (frame: ResponseFrame) => void) => boolean) | undefined;
  /** Answers unary calls of other services than the cache's. */
  services: ((method: string, bytes: Uint8Array) => Uint8Array) | undefined;
  /** How long each welcome and pong vouches for, in milliseconds. */
  validityMs = 1000;
  /** A session that ends leaves its leases to be claimed by the next. */
  keepsLeases = false;
  /** Continues sessions, but keeps back what they have missed. */
  withholds = false;
  /** Continues no session. */
  forgetful = false;
  readonly #peers = new Map<Peer, Session>();
  readonly #unacked = new Set<() => void>();
  readonly #sessions = new Map<string, Session>();
  #held: Array<() => void> = [];

  constructor() {
    this.store.onEvent = (event) => this.#publish(event);
  }

  get connections(): number {
    return this.#peers.size;
  }

  /** The frames of one kind that arrived, in order. */
  frames<C extends NonNullable<SessionRequest["frame"]["case"]>>(kind: C) {
    return this.received.flatMap(({ frame }) =>
      frame.case === kind ? [frame.value as Extract<SessionRequest["frame"], { case: C }>["value"]] : [],
    );
  }

  accept(peer: Peer): Accepted {
    const holder: Holder = { app: "", build: { buildId: "", deploymentId: "" }, gone: false };
    const id = `fake-${this.#sessions.size + 1}`;
    const session: Session = { id, holder, acked: 0n, promisedUntil: Number.NEGATIVE_INFINITY };
    this.#peers.set(peer, session);
    this.#sessions.set(session.id, session);
    return {
      receive: (bytes) => {
        if (this.deaf) this.#held.push(() => this.#receive(peer, session, bytes));
        else this.#receive(peer, session, bytes);
      },
      gone: () => {
        this.#peers.delete(peer);
        holder.gone = true;
        if (!this.keepsLeases) this.store.freeAll(holder);
        this.#settle();
      },
    };
  }

  /** Hears again, and hears first what it missed. */
  listen(): void {
    this.deaf = false;
    for (const act of this.#held.splice(0)) act();
  }

  /** Sends a frame to everybody. */
  announce(frame: ResponseFrame): void {
    for (const peer of this.#peers.keys()) send(peer, 0n, frame);
  }

  /** Ends every connection with a gRPC status, as a daemon that breaks. */
  disconnectAll(code = 14, details = "gone"): void {
    for (const peer of [...this.#peers.keys()]) peer.end(code, details);
  }

  /** Hands a job to every client, under an id of the daemon's own. */
  handOver(job: Plain<typeof JobSchema>, id = 1n): void {
    for (const peer of this.#peers.keys()) send(peer, id, { case: "job", value: job });
  }

  /** Takes a job back. */
  withdraw(id: bigint): void {
    for (const peer of this.#peers.keys()) send(peer, 0n, { case: "jobCancel", value: { id } });
  }

  callUnary(method: UnaryMethod, bytes: Uint8Array): Uint8Array {
    this.unary.push(method);
    if (method.startsWith("/")) {
      if (!this.services) throw new Error(`nobody answers ${method}`);
      return this.services(method, bytes);
    }
    if (method === "set") {
      const request = fromBinary(SetRequestSchema, bytes);
      const response = this.store.set(request, holderOf(request));
      return toBinary(SetResponseSchema, create(SetResponseSchema, response));
    }
    const request = fromBinary(GetRequestSchema, bytes);
    return toBinary(GetResponseSchema, create(GetResponseSchema, this.store.body(request, holderOf(request))));
  }

  /** Marks tags, as if another process had. */
  /** Revalidations hold here only. */
  storeAway = false;

  revalidate({ revalidations }: { revalidations: readonly Marked[] }): void {
    this.#publish(this.store.revalidate(revalidations));
  }

  #publish(event: FakeEvent): void {
    this.announce({ case: "events", value: { events: [event] } });
  }

  /** Done when every client has applied the position, or may not serve without asking any more. */
  #await(seq: bigint, done: () => void): void {
    const check = (): void => {
      const now = performance.now();
      const left = [...this.#peers.values()]
        .filter(({ acked }) => acked < seq)
        .map(({ promisedUntil }) => promisedUntil - now);
      if (left.some((ms) => ms > 0)) return;
      clearTimeout(timer);
      this.#unacked.delete(check);
      done();
    };
    // What is promised later is promised by somebody who has been sent the event before.
    const longest = Math.max(
      0,
      ...[...this.#peers.values()].map(({ promisedUntil }) => promisedUntil - performance.now()),
    );
    const timer = setTimeout(() => {
      for (const session of this.#peers.values()) if (session.acked < seq) session.promisedUntil = 0;
      check();
    }, longest).unref();
    this.#unacked.add(check);
    check();
  }

  #settle(): void {
    for (const check of [...this.#unacked]) check();
  }

  #promise(session: Session): number {
    session.promisedUntil = performance.now() + this.validityMs;
    return this.validityMs;
  }

  #receive(peer: Peer, session: Session, bytes: Uint8Array): void {
    const { holder } = session;
    const request = fromBinary(SessionRequestSchema, bytes);
    this.received.push(request);
    const answer = (frame: ResponseFrame): void => send(peer, request.id, frame);
    if (this.intercept?.(request, answer)) return;
    const { frame } = request;
    switch (frame.case) {
      case "hello":
        this.#hello(frame.value, peer, session);
        break;
      case "get":
        this.#get(frame.value, holder, answer);
        break;
      case "set":
        answer({ case: "set", value: this.store.set(frame.value, holder) });
        break;
      case "release":
        answer({ case: "release", value: { released: this.store.release(frame.value, holder) } });
        break;
      case "revalidate":
        this.revalidate(frame.value);
        this.#acknowledge(answer);
        break;
      case "ping":
        answer({ case: "pong", value: { validityMs: this.#promise(session), position: this.store.position() } });
        break;
      case "eventsAck":
        session.acked = frame.value.position?.seq ?? 0n;
        this.#settle();
        break;
      default:
        break;
    }
  }

  #acknowledge(answer: (frame: ResponseFrame) => void): void {
    const position = this.store.position();
    this.#await(position.seq, () => answer({ case: "revalidate", value: { position, fleetWide: !this.storeAway } }));
  }

  #hello({ app, build, token, resume }: Hello, peer: Peer, session: Session): void {
    if (this.token !== undefined && token !== this.token) {
      peer.end(16, "the token is wrong");
      return;
    }
    if (build) session.holder.build = build;
    session.holder.app = app;
    const earlier = resume && !this.forgetful && this.#sessions.get(resume.sessionId);
    const missed = earlier ? this.store.since(resume.position?.seq ?? 0n) : undefined;
    const leases = (resume?.leases ?? []).flatMap((claim) => this.store.claim(claim, session.holder) ?? []);
    if (!missed) session.acked = this.store.position().seq;
    const validityMs = this.#promise(session);
    const value = { ...this.#welcome(), sessionId: session.id, leases, resumed: missed !== undefined, validityMs };
    send(peer, 0n, { case: "welcome", value: { ...value, ...this.welcome } });
    if (missed && missed.length > 0 && !this.withholds) send(peer, 0n, { case: "events", value: { events: missed } });
  }

  #welcome(): Plain<typeof WelcomeSchema> {
    return {
      protocol: 1,
      position: this.store.position(),
      asideBytes: 256n * 1024n,
      maxEntryBytes: 32n * 1024n * 1024n,
      waitLimitMs: 2000,
      fetchWaitLimitMs: 1000,
      pingIntervalMs: 50,
    };
  }

  #get(request: GetRequest, holder: Holder, answer: (frame: ResponseFrame) => void): void {
    const limitMs = this.welcome.waitLimitMs ?? 2000;
    const aside = Number(this.welcome.asideBytes ?? 256 * 1024);
    const parked = this.store.get(request, holder, { limitMs, aside }, (value) => answer({ case: "get", value }));
    if (parked) answer({ case: "waiting", value: { limitMs } });
  }
}

function holderOf({ key }: GetRequest | SetRequest): Holder {
  return { app: key?.app ?? "", build: key?.build ?? { buildId: "", deploymentId: "" }, gone: false };
}

function send(peer: Peer, id: bigint, frame: ResponseFrame): void {
  peer.send(Buffer.from(toBinary(SessionResponseSchema, create(SessionResponseSchema, { id, frame }))));
}
