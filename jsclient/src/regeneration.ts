import { randomBytes } from "node:crypto";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { IsrdError, messageOf, type RefusedError, TooLargeError } from "./errors.js";
import { Space } from "./gen/isrd/v1/entry_pb.js";
import type { Job } from "./gen/isrd/v1/session_pb.js";
import type { JobReport, Work } from "./jobs.js";
import { leavesHost, type Routing, toRequestPath } from "./next/routing.js";
import type { OwnConnection, OwnServer } from "./own-server.js";
import { VERSION } from "./version.js";

/** Names the job to the handler, which is called for its request with the request's headers. */
export const JOB_HEADER = "x-isrd-job";

/** A response is read to its end, but not further than this, in bytes; the page was written before it began. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;

/** A server that is not known yet may become so with the next request; so long a job waits for that, in milliseconds. */
const SERVER_WAIT_MS = 10_000;

/** Where the daemon names no deadline, in milliseconds. */
const DEADLINE_MS = 60_000;

/** What the handler has seen of the request of a job. */
interface Notes {
  /** The entry that the path is cached as. */
  name: string | undefined;
  /** Why the page could not be written. */
  problem: RefusedError | undefined;
}

/** What regeneration needs to know. */
export interface RegenerationOptions {
  readonly concurrency: number;
  /** The secret that makes Next.js render. */
  readonly previewId: string;
  /** Read when the first job comes. */
  readonly routing: () => Routing;
  readonly server: Pick<OwnServer, "ready" | "connect">;
}

/**
 * Regenerates pages through the server of this very process, as a request on demand. The secret that such a request carries
 * is sent over connections that this process itself has accepted, and nowhere else.
 */
export class Regeneration implements Work {
  readonly concurrency: number;
  readonly #options: RegenerationOptions;
  readonly #notes = new Map<string, Notes>();
  #routing: Routing | undefined;

  constructor(options: RegenerationOptions) {
    this.#options = options;
    this.concurrency = options.concurrency;
  }

  /** Never rejects. */
  async run({ path, onlyIfCached, deadlineMs }: Job, withdrawn: AbortSignal): Promise<JobReport> {
    const id = randomBytes(12).toString("hex");
    const notes: Notes = { name: undefined, problem: undefined };
    this.#notes.set(id, notes);
    const late = AbortSignal.timeout(deadlineMs || DEADLINE_MS);
    const signal = AbortSignal.any([withdrawn, late]);
    try {
      const response = await this.#request(id, path, { onlyIfCached, signal });
      return reportOf(response, notes);
    } catch (error) {
      return { error: late.aborted ? `Next.js did not answer within ${deadlineMs} ms` : messageOf(error) };
    } finally {
      this.#notes.delete(id);
    }
  }

  /** The handler was asked for an entry by a request on demand. The first is that of the path. */
  asked(id: unknown, name: string): void {
    const notes = typeof id === "string" ? this.#notes.get(id) : undefined;
    if (notes && !isErrorPage(name)) notes.name ??= name;
  }

  /** An entry that was rendered could not be written. */
  unwritten(id: unknown, name: string, problem: RefusedError): void {
    const notes = typeof id === "string" ? this.#notes.get(id) : undefined;
    if (notes?.name === name) notes.problem = problem;
  }

  async #request(
    id: string,
    path: string,
    { onlyIfCached, signal }: { onlyIfCached: boolean; signal: AbortSignal },
  ): Promise<IncomingMessage> {
    const { server, previewId, routing } = this.#options;
    this.#routing ??= routing();
    if (leavesHost(path, this.#routing)) {
      throw new IsrdError(
        "refused",
        "a rewrite may pass this path on to another host, which must not get the build's secret",
      );
    }
    await server.ready(AbortSignal.any([signal, AbortSignal.timeout(SERVER_WAIT_MS)]));
    const connection = await server.connect(signal);
    const headers = {
      host: `localhost:${connection.port}`,
      accept: "*/*",
      "accept-encoding": "identity",
      "user-agent": `isrd/${VERSION}`,
      "x-prerender-revalidate": previewId,
      ...(onlyIfCached ? { "x-prerender-revalidate-if-generated": "1" } : {}),
      [JOB_HEADER]: id,
    };
    try {
      return await exchange(connection, { path: toRequestPath(path, this.#routing), headers, signal });
    } finally {
      connection.socket.destroy();
    }
  }
}

/** Sends a GET over a connection, and reads the response to its end. */
function exchange(
  { socket }: OwnConnection,
  options: { path: string; headers: Record<string, string>; signal: AbortSignal },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = requestHttp({ ...options, method: "GET", createConnection: () => socket });
    request.on("error", reject);
    request.on("response", (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_RESPONSE_BYTES) resolve(response);
      });
      response.on("end", () => resolve(response));
      response.on("error", reject);
    });
    request.end();
  });
}

function reportOf({ statusCode, headers }: IncomingMessage, { name, problem }: Notes): JobReport {
  return {
    httpStatus: statusCode ?? 0,
    nextCache: headers["x-nextjs-cache"]?.toString() ?? "",
    error: problem?.message ?? "",
    tooLarge: problem instanceof TooLargeError,
    ...(name === undefined ? {} : { key: { space: Space.ROUTE, name } }),
  };
}

/** What Next.js renders where there is no page; it is no answer to what was asked for. */
function isErrorPage(name: string): boolean {
  return /(?:^|\$)(?:\/[\w-]+)?\/(?:_not-found|404|500|_error)$/.test(name);
}
