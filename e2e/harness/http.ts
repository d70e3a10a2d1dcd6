import http from "node:http";
import { within } from "./wait.ts";

/** Which render a response came from. */
export interface Marker {
  /** The render's number; no other has it. */
  readonly render: number;
  /** The version of the data that the render itself read. */
  readonly version: number;
  /** The version of the data that it got through the fetch cache; 0 if it reads none. */
  readonly fetched: number;
}

/** A response, read to its end. */
export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** The `x-nextjs-cache` header. */
  readonly cache: string | undefined;
  readonly cacheControl: string | undefined;
  /** Undefined if the response names no render. */
  readonly marker: Marker | undefined;
  /** From sending the request to the end of the response. */
  readonly ms: number;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 20_000;
const MARKER = /\[\[render=(\d+) version=(\d+) fetched=(\d+)\]\]/;

/** Talks to one server over kept connections. */
export class HttpClient {
  readonly url: string;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 128 });

  constructor(url: string) {
    this.url = url;
  }

  /** Sends a request and reads the whole response; redirects are not followed. */
  async request(path: string, options: RequestOptions = {}): Promise<Reply> {
    const began = performance.now();
    const abort = new AbortController();
    const { timeoutMs = TIMEOUT_MS } = options;
    try {
      const { response, body } = await within(
        this.#exchange(path, options, abort.signal),
        timeoutMs,
        `an answer to ${options.method ?? "GET"} ${path}`,
      );
      return toReply(response, body, performance.now() - began);
    } catch (error) {
      abort.abort();
      throw error;
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange(path: string, { method = "GET", headers = {}, body }: RequestOptions, signal: AbortSignal) {
    return new Promise<{ response: http.IncomingMessage; body: Buffer }>((resolve, reject) => {
      const request = http.request(
        `${this.url}${path}`,
        { method, headers, agent: this.#agent, signal },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => resolve({ response, body: Buffer.concat(chunks) }));
          response.on("error", reject);
        },
      );
      request.on("error", (error: NodeJS.ErrnoException) => {
        // The server closed a kept connection while nothing was asked, and nobody has answered: no fault of anybody's.
        const closed = request.reusedSocket && error.code === "ECONNRESET" && !signal.aborted;
        if (closed) resolve(this.#exchange(path, { method, headers, ...(body === undefined ? {} : { body }) }, signal));
        else reject(new Error(`${method} ${path}: ${error.message}`, { cause: error }));
      });
      request.end(body);
    });
  }
}

function toReply(response: http.IncomingMessage, body: Buffer, ms: number): Reply {
  const text = body.toString();
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    text,
    cache: response.headers["x-nextjs-cache"]?.toString(),
    cacheControl: response.headers["cache-control"],
    marker: markerIn(text),
    ms,
  };
}

/** The render that a text names, if it names one. */
export function markerIn(text: string): Marker | undefined {
  const match = MARKER.exec(text);
  if (!match) return undefined;
  return { render: Number(match[1]), version: Number(match[2]), fetched: Number(match[3]) };
}
