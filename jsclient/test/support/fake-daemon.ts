import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type GetRequest,
  GetRequestSchema,
  GetResponseSchema,
  type RevalidateRequest,
  type SessionRequest,
  SessionRequestSchema,
  SessionResponseSchema,
  type SetRequest,
  SetRequestSchema,
  SetResponseSchema,
} from "../../src/gen/isrd/v1/cache_pb.js";
import type { Hello, WelcomeSchema } from "../../src/gen/isrd/v1/session_pb.js";
import { FakeStore, type Holder, type Plain } from "./fake-store.js";

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
  readonly #peers = new Map<Peer, Holder>();
  #held: Array<() => void> = [];

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
    const holder: Holder = { app: "", build: "" };
    this.#peers.set(peer, holder);
    return {
      receive: (bytes) => {
        if (this.deaf) this.#held.push(() => this.#receive(peer, holder, bytes));
        else this.#receive(peer, holder, bytes);
      },
      gone: () => {
        this.#peers.delete(peer);
        this.store.freeAll(holder);
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

  callUnary(method: "get" | "set", bytes: Uint8Array): Uint8Array {
    this.unary.push(method);
    if (method === "set") {
      const request = fromBinary(SetRequestSchema, bytes);
      const outcome = this.store.set(request, holderOf(request));
      return toBinary(SetResponseSchema, create(SetResponseSchema, { outcome }));
    }
    const request = fromBinary(GetRequestSchema, bytes);
    return toBinary(GetResponseSchema, create(GetResponseSchema, this.store.body(request, holderOf(request))));
  }

  /** Marks tags, as if another process had. */
  revalidate(request: Pick<RevalidateRequest, "revalidations">): void {
    const event = this.store.revalidate(request.revalidations);
    this.announce({ case: "events", value: { events: [event] } });
  }

  #receive(peer: Peer, holder: Holder, bytes: Uint8Array): void {
    const request = fromBinary(SessionRequestSchema, bytes);
    this.received.push(request);
    const answer = (frame: ResponseFrame): void => send(peer, request.id, frame);
    if (this.intercept?.(request, answer)) return;
    const { frame } = request;
    switch (frame.case) {
      case "hello":
        this.#hello(frame.value, peer, holder, answer);
        break;
      case "get":
        this.#get(frame.value, holder, answer);
        break;
      case "set":
        answer({ case: "set", value: { outcome: this.store.set(frame.value, holder) } });
        break;
      case "release":
        answer({ case: "release", value: { released: this.store.release(frame.value, holder) } });
        break;
      case "revalidate":
        this.revalidate(frame.value);
        answer({ case: "revalidate", value: { position: this.store.position(), fleetWide: true } });
        break;
      case "ping":
        answer({ case: "pong", value: { validityMs: 1000, position: this.store.position() } });
        break;
      default:
        break;
    }
  }

  #hello({ app, build, token }: Hello, peer: Peer, holder: Holder, answer: (frame: ResponseFrame) => void): void {
    if (this.token !== undefined && token !== this.token) {
      peer.end(16, "the token is wrong");
      return;
    }
    Object.assign(holder, { app, build: `${build?.buildId}/${build?.deploymentId}` });
    answer({ case: "welcome", value: { ...this.#welcome(), ...this.welcome } });
  }

  #welcome(): Plain<typeof WelcomeSchema> {
    return {
      protocol: 1,
      sessionId: "fake",
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
  return { app: key?.app ?? "", build: `${key?.build?.buildId}/${key?.build?.deploymentId}` };
}

function send(peer: Peer, id: bigint, frame: ResponseFrame): void {
  peer.send(Buffer.from(toBinary(SessionResponseSchema, create(SessionResponseSchema, { id, frame }))));
}
