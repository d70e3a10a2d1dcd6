import cluster from "node:cluster";
import { subscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { Server as HttpServer } from "node:http";
import { Server as HttpsServer } from "node:https";
import { type AddressInfo, createConnection, type Socket } from "node:net";
import { connect as startTls } from "node:tls";
import { deferred, within } from "./deadline.js";
import { messageOf, unavailable } from "./errors.js";
import { oncePerProcess } from "./shared.js";

type Server = HttpServer | HttpsServer;

/** So often a port is tried: where several processes of a cluster share it, the connection may be another's. */
const TRIES = 64;
const CONNECT_TIMEOUT_MS = 2000;
/** So long after a connection stands, its other end is certainly known, if it is here. */
const ACCEPT_TIMEOUT_MS = 100;

const LISTENS = "tracing:net.server.listen:asyncEnd";

/** Where servers are reached that listen on every address. */
const LOCAL: Record<string, readonly string[]> = { "0.0.0.0": ["127.0.0.1"], "::": ["127.0.0.1", "::1"] };

/** A connection to this process's own server. */
export interface OwnConnection {
  readonly socket: Socket;
  readonly port: number;
}

/** The one of this process, which watches from its first use. */
export function processServer(): OwnServer {
  return oncePerProcess("server", () => {
    const server = new OwnServer(process.env);
    server.watch();
    return server;
  });
}

/**
 * The HTTP server of this very process, and connections to it. It is found by Node's own announcements: of a server that
 * listens, where this watches from the start, else of the requests that it serves.
 */
export class OwnServer {
  readonly #env: NodeJS.ProcessEnv;
  readonly #servers = new Set<Server>();
  readonly #observers = new Set<() => void>();
  /** While somebody connects: the two ends of connections that were accepted here, and who waits for which. */
  readonly #accepted = new Set<string>();
  readonly #awaited = new Map<string, () => void>();
  #connecting = 0;

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** Begins to watch, for as long as the process lives. */
  watch(): void {
    // The first only since Node.js 20.16 and 22.4.
    for (const channel of [LISTENS, "http.server.request.start", "http.server.response.finish"]) {
      subscribe(channel, (message) => this.add((message as { server: unknown }).server));
    }
    subscribe("net.server.socket", (message) => this.#accept((message as { socket: Socket }).socket));
  }

  /** A server of this process. Any other than one that listens on a port for HTTP is left out. */
  add(server: unknown): void {
    if (!(server instanceof HttpServer || server instanceof HttpsServer) || this.#servers.has(server)) return;
    if (portOf(server) === undefined) return;
    this.#servers.add(server);
    server.once("close", () => this.#servers.delete(server));
    for (const observer of [...this.#observers]) observer();
  }

  /** Whether one is known by now. */
  get known(): boolean {
    return this.#servers.size > 0;
  }

  /** Whether there is one, although it may not be known before its next request. */
  get likely(): boolean {
    return this.known || cluster.isWorker || process.getActiveResourcesInfo().includes("TCPServerWrap");
  }

  /** Tells of each server that becomes known from now on. */
  observe(observer: () => void): void {
    this.#observers.add(observer);
  }

  /** Waits until one is known, or the signal ends it. Never rejects. */
  async ready(signal: AbortSignal): Promise<void> {
    if (this.known || signal.aborted) return;
    const known = deferred<void>();
    const done = (): void => known.resolve();
    this.#observers.add(done);
    signal.addEventListener("abort", done, { once: true });
    await known.promise;
    this.#observers.delete(done);
    signal.removeEventListener("abort", done);
  }

  /**
   * Opens a connection that was accepted by this process, and so by no other that may have the port by now: not a byte is
   * sent before that is certain. It is the caller's to end.
   *
   * Rejects with an IsrdError `unavailable`.
   */
  async connect(signal: AbortSignal): Promise<OwnConnection> {
    const server = this.#choose();
    const { address, port } = server.address() as AddressInfo;
    const hosts = LOCAL[address]?.slice() ?? [address];
    let problem = "somebody else answers there";
    this.#connecting += 1;
    try {
      for (let tries = 0; tries < TRIES && hosts[0] && !signal.aborted; tries++) {
        try {
          const socket = await this.#open(hosts[0], port);
          const secure = server instanceof HttpsServer;
          if (socket) return { socket: secure ? startTls({ socket, rejectUnauthorized: false }) : socket, port };
        } catch (error) {
          problem = messageOf(error);
          hosts.shift();
        }
      }
    } finally {
      this.#connecting -= 1;
      if (this.#connecting === 0) this.#accepted.clear();
    }
    throw unavailable(`this process cannot connect to its own server on port ${port}: ${problem}`);
  }

  /** Next.js puts the port that it listens on into PORT. */
  #choose(): Server {
    const servers = [...this.#servers].filter((server) => portOf(server) !== undefined);
    const [only, ...others] = servers;
    if (!only) throw unavailable("this process has no HTTP server on a port, or none that is known yet");
    const named = servers.find((server) => String(portOf(server)) === this.#env["PORT"]);
    if (!named && others.length > 0) {
      const ports = servers.map(portOf).join(", ");
      throw unavailable(`this process has several HTTP servers (ports ${ports}): set PORT to that of Next.js`);
    }
    return named ?? only;
  }

  /** Undefined: it was accepted elsewhere, as by another process of the cluster that shares the port. */
  async #open(host: string, port: number): Promise<Socket | undefined> {
    const socket = createConnection({ host, port });
    try {
      await once(socket, "connect", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
      if (await this.#wasAccepted(ends(socket.localAddress, socket.localPort, port))) return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
    socket.destroy();
    return undefined;
  }

  /** By this process, which may learn of it a little after the connection stands. */
  async #wasAccepted(which: string): Promise<boolean> {
    if (this.#accepted.has(which)) return true;
    const accepted = deferred<void>();
    this.#awaited.set(which, () => accepted.resolve());
    const here = within(accepted.promise, ACCEPT_TIMEOUT_MS, () => unavailable("not accepted here"));
    const found = await here.then(
      () => true,
      () => false,
    );
    this.#awaited.delete(which);
    return found;
  }

  #accept({ remoteAddress, remotePort, localPort }: Socket): void {
    if (this.#connecting === 0) return;
    const which = ends(remoteAddress, remotePort, localPort);
    this.#accepted.add(which);
    this.#awaited.get(which)?.();
  }
}

/** Names a connection by where it comes from and the port that it leads to. */
function ends(address = "", from = 0, to = 0): string {
  return `${address.replace(/^::ffff:/, "")} ${from} ${to}`;
}

function portOf(server: Server): number | undefined {
  const address = server.address();
  return typeof address === "object" ? address?.port : undefined;
}
