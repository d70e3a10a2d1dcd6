import { createConnection, type Socket } from "node:net";
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import type { Address } from "./address.js";
import { GrpcCode, IsrdError, messageOf, RefusedError } from "./errors.js";
import { CacheService } from "./gen/isrd/v1/cache_pb.js";
import type { Dial, DialOptions, Stream, StreamEvents, Transport, UnaryMethod } from "./transport.js";

/** The largest message in either direction. One above it ends a grpc-js stream for all that share it. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** Room in flight for each stream and for the connection: with the protocol's 64 KB a page would take several rounds. */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** What may lie in the outgoing queue before `send` says no. */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;
const MAX_QUEUED_FRAMES = 4096;

const CHANNEL_OPTIONS: ChannelOptions = {
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc-node.flow_control_window": WINDOW_BYTES,
  // Reconnecting is the session's business: it alone knows what must be said first.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_channelz": 0,
  // A daemon is a neighbour; a proxy from the environment would lead away from it.
  "grpc.enable_http_proxy": 0,
};

const PATHS = {
  session: pathOf(CacheService.method.session.name),
  get: pathOf(CacheService.method.get.name),
  set: pathOf(CacheService.method.set.name),
};

function pathOf(method: string): string {
  return `/${CacheService.typeName}/${method}`;
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** Connects with @grpc/grpc-js. */
export const dialGrpc: Dial = connect;

/**
 * Calls a method that answers with a stream, on a connection of its own, which keeps the process alive and ends with the
 * answer. `path` is the method's, with its service: what no session needs, no process with a handler loads.
 *
 * Throws an IsrdError as the transport does.
 */
export async function* streamGrpc(
  address: Address,
  options: DialOptions,
  path: string,
  request: Buffer,
): AsyncGenerator<Buffer> {
  const transport = await connect(address, options);
  transport.hold(true);
  try {
    yield* transport.stream(path, request, options.signal);
  } finally {
    transport.close();
  }
}

async function connect(address: Address, { token, signal }: DialOptions): Promise<GrpcTransport> {
  const target = await findTarget(address, signal);
  const leash = new SocketLeash();
  const client = new Client(target, leashed(leash), {
    ...CHANNEL_OPTIONS,
    "grpc.default_authority": "host" in address ? `${address.host}:${address.port}` : "localhost",
  });
  const transport = new GrpcTransport(client, leash, token);
  try {
    await ready(client, signal);
    return transport;
  } catch (error) {
    transport.close();
    throw error;
  }
}

/**
 * Makes sure that somebody listens before grpc-js is asked to connect, and returns the concrete target. Three reasons:
 * only here the cause of a failure is known (grpc-js keeps it for calls); a connect of grpc-js that hangs could not be
 * kept from holding the process; and a name is resolved once.
 */
function findTarget(address: Address, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket =
      "path" in address ? createConnection(address.path) : createConnection({ host: address.host, port: address.port });
    socket.unref();
    const give = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => give(unavailable(`${address.text} does not answer`));
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", (error) => give(unavailable(explain(address, error))));
    socket.once("close", () => signal.removeEventListener("abort", onAbort));
    socket.once("connect", () => {
      const target = "path" in address ? `unix:${address.path}` : numericTarget(socket);
      socket.destroy();
      resolve(target);
    });
    if (signal.aborted) onAbort();
  });
}

function numericTarget({ remoteAddress, remoteFamily, remotePort }: Socket): string {
  return remoteFamily === "IPv6" ? `ipv6:[${remoteAddress}]:${remotePort}` : `ipv4:${remoteAddress}:${remotePort}`;
}

function explain(address: Address, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ENOENT":
      return `there is no socket at ${address.text} (is the daemon running, and its directory mounted here?)`;
    case "ECONNREFUSED":
      return `nobody listens at ${address.text}`;
    case "EACCES":
      return `this user may not open ${address.text}`;
    case "ENOTSOCK":
      return `${address.text} is not a socket`;
    default:
      return `${address.text}: ${error.message}`;
  }
}

function unavailable(message: string, cause?: unknown): IsrdError {
  return new IsrdError("unavailable", message, { cause });
}

/** Waits until the HTTP/2 connection stands. A peer that accepts and says nothing is left to the signal. */
function ready(client: Client, signal: AbortSignal): Promise<void> {
  const channel = client.getChannel();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(unavailable("the daemon accepts connections but does not answer"));
    const done = (settle: () => void): void => {
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    const check = (connectNow: boolean): void => {
      const state = channel.getConnectivityState(connectNow);
      if (state === connectivityState.READY) {
        done(resolve);
      } else if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) {
        done(() => reject(unavailable("the connection broke before it stood")));
      } else {
        channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => check(false));
      }
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    else check(true);
  });
}

/**
 * Decides whether the connection's socket keeps the process alive. grpc-js refs it for as long as a call is open, which
 * a session is for ever; so the socket's own ref and unref are taken from it.
 */
class SocketLeash {
  #socket: Socket | undefined;
  #own: Pick<Socket, "ref" | "unref"> | undefined;
  #alive = false;

  take(socket: Socket): void {
    this.#own = { ref: socket.ref.bind(socket), unref: socket.unref.bind(socket) };
    this.#socket = Object.assign(socket, { ref: () => socket, unref: () => socket });
    this.hold(this.#alive);
  }

  hold(alive: boolean): void {
    this.#alive = alive;
    if (alive) this.#own?.ref();
    else this.#own?.unref();
  }

  destroy(): void {
    this.#socket?.destroy();
  }
}

/** Plain credentials that pass the connection's socket by the leash before grpc-js gets it. */
function leashed(leash: SocketLeash): ChannelCredentials {
  const plain = credentials.createInsecure();
  const createConnector = plain._createSecureConnector.bind(plain);
  plain._createSecureConnector = (...args) => {
    const connector = createConnector(...args);
    return {
      connect: (socket) => {
        leash.take(socket);
        return connector.connect(socket);
      },
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy(),
    };
  };
  return plain;
}

class GrpcTransport implements Transport {
  readonly #client: Client;
  readonly #leash: SocketLeash;
  readonly #metadata = new Metadata();
  #session: ClientDuplexStream<Buffer, Buffer> | undefined;

  constructor(client: Client, leash: SocketLeash, token: DialOptions["token"]) {
    this.#client = client;
    this.#leash = leash;
    if (token) this.#metadata.set("authorization", `Bearer ${token}`);
  }

  open(events: StreamEvents): Stream {
    const call = this.#client.makeBidiStreamRequest(PATHS.session, asIs, asIs, this.#metadata);
    this.#session = call;
    let over = false;
    call.on("data", (frame: Buffer) => {
      if (!over) events.frame(frame);
    });
    // Every end comes as a status. The error event tells the same once more, and must have a listener.
    call.on("error", () => {});
    call.on("status", (status: StatusObject) => {
      over = true;
      events.end(toError(status.code, status.details || "the daemon ended the session"));
    });
    let queuedBytes = 0;
    let queuedFrames = 0;
    return {
      send: (frame) => {
        if (over) return true;
        if (queuedBytes + frame.length > MAX_QUEUED_BYTES || queuedFrames >= MAX_QUEUED_FRAMES) return false;
        queuedBytes += frame.length;
        queuedFrames += 1;
        call.write(frame, () => {
          queuedBytes -= frame.length;
          queuedFrames -= 1;
        });
        return true;
      },
    };
  }

  unary(method: UnaryMethod, request: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const settle = (error: ServiceError | null, response?: Buffer): void => {
        if (response) resolve(response);
        else reject(error ? toError(error.code, error.details) : unavailable("the daemon answered with nothing"));
      };
      const options = { deadline: Date.now() + timeoutMs };
      try {
        const path = method === "get" || method === "set" ? PATHS[method] : method;
        this.#client.makeUnaryRequest(path, asIs, asIs, request, this.#metadata, options, settle);
      } catch (error) {
        reject(unavailable(messageOf(error), error)); // The channel was closed.
      }
    });
  }

  async *stream(path: string, request: Buffer, signal: AbortSignal): AsyncGenerator<Buffer> {
    const call = this.#client.makeServerStreamRequest(path, asIs, asIs, request, this.#metadata);
    const cancel = (): void => call.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      yield* call as AsyncIterable<Buffer>;
    } catch (error) {
      const { code = GrpcCode.UNAVAILABLE, details = messageOf(error) } = error as Partial<ServiceError>;
      throw toError(code, details);
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  hold(alive: boolean): void {
    this.#leash.hold(alive);
  }

  close(): void {
    this.#session?.cancel();
    this.#client.close();
    this.#leash.destroy();
  }
}

/** A status that the daemon, or grpc-js for it, ended a call with. */
function toError(code: number, details: string): Error {
  if (code === 0 || code === GrpcCode.UNAVAILABLE || code === GrpcCode.CANCELLED) return unavailable(details);
  if (code === GrpcCode.DEADLINE_EXCEEDED) return new IsrdError("timeout", "the daemon did not answer in time");
  return new RefusedError(code, details);
}
