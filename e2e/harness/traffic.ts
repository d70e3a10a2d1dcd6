import { JOINS_AFTER_RESPONSE_MS } from "./expect.ts";
import type { Reply } from "./http.ts";
import type { Origin } from "./origin.ts";
import type { Replica } from "./replica.ts";

interface Read {
  readonly replica: Replica;
  readonly name: string;
  /** The version that had been acknowledged when the request was sent: nothing older may come from the cache. */
  readonly least: number;
  readonly sentAt: number;
  readonly endedAt: number;
  readonly reply: Reply | undefined;
  readonly failure: string;
}

/** What the reads of a {@link Traffic} amount to. */
export interface TrafficResult {
  readonly reads: number;
  readonly hits: number;
  /** Older ones that Next.js answered with a render that it had running already, without asking the cache. */
  readonly joined: number;
  readonly failures: readonly string[];
  /** All other older ones, each as a line. */
  readonly older: readonly string[];
}

/** Readers of the pages below /a that know what they may not be given any more. */
export class Traffic {
  readonly #origin: Origin;
  readonly #reads: Read[] = [];
  readonly #least = new Map<string, number>();
  readonly #clients: Promise<void>[];
  #stopping = false;

  /** Begins at once: at each replica so many clients ask for one page after the other. */
  constructor(options: {
    origin: Origin;
    replicas: readonly Replica[];
    names: readonly string[];
    clientsEach: number;
  }) {
    const { origin, replicas, names, clientsEach } = options;
    this.#origin = origin;
    this.#clients = Array.from({ length: clientsEach * replicas.length }, async (_, client) => {
      const replica = replicas[client % replicas.length] as Replica;
      for (let number = client; !this.#stopping; number++)
        await this.ask(replica, names[number % names.length] as string);
    });
  }

  /** A revalidation has returned: reads that begin from now on must have this version of the data, or a newer one. */
  acknowledged(name: string, version: number): void {
    this.#least.set(name, Math.max(version, this.#least.get(name) ?? 1));
  }

  /** One more read. It never rejects. */
  async ask(replica: Replica, name: string): Promise<void> {
    const least = this.#least.get(name) ?? 1;
    const sentAt = performance.now();
    let reply: Reply | undefined;
    let failure = "";
    try {
      reply = await replica.request(`/a/${name}`);
      if (reply.status !== 200 || !reply.marker) failure = `${reply.status} ${reply.text.slice(0, 200)}`;
    } catch (error) {
      failure = (error as Error).message;
    }
    this.#reads.push({ replica, name, least, sentAt, endedAt: performance.now(), reply, failure });
  }

  /** Sends nothing more, and waits for what is open. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  result(): TrafficResult {
    const older = this.#reads.filter((read) => isOlder(read));
    const joined = older.filter((read) => this.#joined(read));
    return {
      reads: this.#reads.length,
      hits: this.#reads.filter(({ reply }) => reply?.cache === "HIT").length,
      joined: joined.length,
      failures: this.#reads
        .filter(({ failure }) => failure)
        .map(({ replica, failure }) => `${replica.name}: ${failure}`),
      older: older.filter((read) => !joined.includes(read)).map((read) => describe(read)),
    };
  }

  /**
   * Whether Next.js joined a read to a render that it had running in the same process: that makes no `get`. The response
   * is then no hit; the render began before the revalidation returned, for a request that was sent before it and that
   * ended after this one was sent, or hardly before.
   */
  #joined(read: Read): boolean {
    const { reply, replica, least, sentAt } = read;
    const render = reply?.marker?.render;
    if (reply?.cache !== "MISS" || render === undefined) return false;
    const begunAt = this.#origin.begunAt(render);
    return (
      begunAt < sentAt &&
      this.#reads.some(
        (other) =>
          other !== read &&
          other.replica === replica &&
          other.reply?.marker?.render === render &&
          other.least < least &&
          other.sentAt <= begunAt &&
          other.endedAt + JOINS_AFTER_RESPONSE_MS >= sentAt,
      )
    );
  }
}

function isOlder({ reply, least }: Read): boolean {
  return reply?.marker !== undefined && Math.min(reply.marker.version, reply.marker.fetched) < least;
}

function describe({ replica, name, least, sentAt, endedAt, reply }: Read): string {
  const { render, version, fetched } = reply?.marker ?? {};
  const times = `sent at ${sentAt.toFixed(0)}, answered after ${(endedAt - sentAt).toFixed(0)} ms`;
  return `${replica.name} /a/${name}: version ${version}, fetched ${fetched}, expected ${least}; render ${render}, ${reply?.cache}, ${times}`;
}
