import { type Entry, Kind } from "./gen/isrd/v1/entry_pb.js";
import type { CachedMeta, CachedValue } from "./next/use-cache.js";
import type { EntryDraft } from "./serialize.js";

const PART = "value";
const NUMBERS = ["stale", "timestamp", "expire", "revalidate"] as const;

/** Translates a result of `'use cache'`. Numbers are written as text, so that each comes back as it was. */
export function encodeCached(value: CachedValue): EntryDraft {
  const attributes = Object.fromEntries(NUMBERS.map((name) => [name, String(value[name])]));
  const parts = [{ name: PART, data: value.bytes, sameAs: 0 }];
  return { kind: Kind.USE_CACHE, parts, status: undefined, headers: [], attributes };
}

/** Translates back; the bytes are a view of the entry's. Throws an Error that names what is wrong with the entry. */
export function decodeCached({ kind, parts, tags, attributes }: Entry): CachedValue {
  if (kind !== Kind.USE_CACHE) throw new Error(`an entry of 'use cache' is of kind ${kind}`);
  const bytes = parts.find(({ name }) => name === PART)?.data;
  if (!bytes) throw new Error(`part "${PART}" is missing`);
  const number = (name: (typeof NUMBERS)[number]): number => {
    const value = Number(attributes[name] ?? Number.NaN);
    if (Number.isNaN(value)) throw new Error(`attribute "${name}" is ${JSON.stringify(attributes[name])}, no number`);
    return value;
  };
  const meta: CachedMeta = {
    tags,
    stale: number("stale"),
    timestamp: number("timestamp"),
    expire: number("expire"),
    revalidate: number("revalidate"),
  };
  return { ...meta, bytes };
}

/** Reads a stream to its end. Rejects if it fails, and if it is no stream of bytes. */
export async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    if (!(read.value instanceof Uint8Array)) throw new TypeError("the stream is not one of bytes");
    chunks.push(read.value);
  }
  const [first] = chunks;
  return first && chunks.length === 1 ? first : Buffer.concat(chunks);
}
