import { once } from "node:events";
import net from "node:net";
import path from "node:path";
import { removeFolder, temporaryFolder } from "./reap.ts";

/** A way to a server that can be cut: while it is, nothing is connected to it, and nobody can be. */
export class Cut {
  readonly #target: string;
  readonly #folder = temporaryFolder();
  readonly #open = new Set<net.Socket>();
  #server: net.Server | undefined;

  private constructor(target: string) {
    this.#target = target;
  }

  /** A way to the socket of a Redis; it is open when this returns. */
  static async to(url: string): Promise<Cut> {
    const cut = new Cut(url.replace("unix://", ""));
    await cut.heal();
    return cut;
  }

  /** What a daemon has as --redis. */
  get url(): string {
    return `unix://${this.#socket}`;
  }

  /** Cuts it: all connections end, and new ones are refused. */
  async cut(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  /** Opens it again. */
  async heal(): Promise<void> {
    if (this.#server) return;
    const server = net.createServer((near) => this.#join(near, net.connect(this.#target)));
    server.listen(this.#socket);
    await once(server, "listening");
    this.#server = server;
  }

  /** Cuts it for good. */
  async close(): Promise<void> {
    await this.cut();
    removeFolder(this.#folder);
  }

  get #socket(): string {
    return path.join(this.#folder, "cut.sock");
  }

  /** What comes from one goes to the other; the end of one is the end of both. */
  #join(near: net.Socket, far: net.Socket): void {
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#open.add(from);
      from.on("error", () => from.destroy());
      from.on("close", () => {
        this.#open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
