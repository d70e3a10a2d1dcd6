import { createReadStream } from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { messageOf } from "../../errors.js";
import { Failure } from "../failure.js";
import type { Bounds } from "./sources.js";

const MAX_REDIRECTS = 5;
const GZIP = Buffer.from([0x1f, 0x8b]);

/** What is asked of an HTTP server besides a URL. */
export interface Asking {
  readonly headers?: Readonly<Record<string, string>>;
  readonly accept?: string;
}

/** Whether the name of a document is a URL, and not a file. */
export function isUrl(name: string): boolean {
  return /^https?:\/\//i.test(name);
}

/**
 * The bytes of a document, a URL or a file, unpacked if it is gzip by its first bytes, whatever its name is. What is
 * read is bounded, before and after unpacking.
 *
 * Throws a Failure that names the document.
 */
export function openDocument(name: string, cwd: string, bounds: Bounds, asking: Asking = {}): AsyncGenerator<Buffer> {
  const raw = isUrl(name) ? fetched(name, bounds, asking) : fromFile(path.resolve(cwd, name));
  return bounded(unpacked(bounded(raw, name, bounds), name), name, bounds);
}

/** The whole of a document as text. */
export async function readDocument(document: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of document) chunks.push(chunk);
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** Stops where a document is larger than it may be. */
export async function* bounded(
  chunks: AsyncIterable<Uint8Array | string>,
  name: string,
  { maxBytes }: Bounds,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    const buffer =
      typeof chunk === "string" ? Buffer.from(chunk) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    bytes += buffer.length;
    if (bytes > maxBytes) {
      throw new Failure(`${name} has more than ${maxBytes} bytes: split it, or raise the limit with --max-bytes`);
    }
    yield buffer;
  }
}

async function* fromFile(file: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(file) as AsyncIterable<Buffer>;
  } catch (error) {
    throw new Failure(`${file} cannot be read: ${messageOf(error)}`);
  }
}

async function* unpacked(chunks: AsyncGenerator<Buffer>, name: string): AsyncGenerator<Buffer> {
  const first = await chunks.next();
  if (first.done) return;
  const all = prepended(first.value, chunks);
  if (!first.value.subarray(0, 2).equals(GZIP)) {
    yield* all;
    return;
  }
  const source = Readable.from(all);
  const gunzip = createGunzip();
  let failed: unknown;
  source.on("error", (error) => gunzip.destroy(error));
  source.pipe(gunzip);
  try {
    yield* gunzip as AsyncIterable<Buffer>;
  } catch (error) {
    failed = error;
  } finally {
    source.destroy();
    gunzip.destroy();
  }
  if (failed instanceof Failure) throw failed;
  if (failed) throw new Failure(`${name} is not good gzip: ${messageOf(failed)}`);
}

async function* prepended(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

async function* fetched(url: string, { timeoutMs }: Bounds, asking: Asking): AsyncGenerator<Buffer> {
  const abort = new AbortController();
  // The clock runs only while the server is waited for, not while its answer is being used.
  const inTime = <T>(waiting: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => abort.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    return waiting.finally(() => clearTimeout(timer));
  };
  try {
    const response = await inTime(request(url, asking, abort.signal));
    if (!response.ok)
      throw new Failure(`${url} answers ${response.status}: is the URL right, and open to this machine?`);
    const reader = (response.body as ReadableStream<Uint8Array> | null)?.getReader();
    for (;;) {
      const piece = await (reader && inTime(reader.read()));
      if (!piece?.value) return;
      yield Buffer.from(piece.value);
    }
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(`${url} cannot be read: ${reasonOf(error)}`);
  } finally {
    abort.abort();
  }
}

/** Follows redirects by itself: headers with secrets must not go on to another origin. */
async function request(url: string, { headers, accept }: Asking, signal: AbortSignal): Promise<Response> {
  const first = new URL(url);
  let at = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const secrets = at.origin === first.origin ? headers : {};
    const response = await fetch(at, { headers: { accept: accept ?? "*/*", ...secrets }, redirect: "manual", signal });
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || !location) return response;
    await response.body?.cancel();
    at = new URL(location, at);
    if (!isUrl(at.href)) throw new Failure(`${url} leads to ${at.href}, which is not http`);
  }
  throw new Failure(`${url} leads from one URL to another more than ${MAX_REDIRECTS} times`);
}

/** fetch() says only that it failed; why is in the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && cause.message ? cause.message : messageOf(error);
}
