import type { HostCacheEntry } from "../../src/next/use-cache.js";

/** A result of `'use cache'`, made now, that lives for an hour. */
export function cachedEntry(text: string | string[], more: Partial<HostCacheEntry> = {}): HostCacheEntry {
  const chunks = [text].flat().map((chunk) => new TextEncoder().encode(chunk));
  return {
    value: new ReadableStream({
      pull(controller) {
        const chunk = chunks.shift();
        if (chunk) controller.enqueue(chunk);
        else controller.close();
      },
    }),
    tags: [],
    stale: 300,
    timestamp: performance.timeOrigin + performance.now(),
    revalidate: 3600,
    expire: 7200,
    ...more,
  };
}

/** A stream that fails behind its first chunk. */
export function failingStream(text: string): ReadableStream<Uint8Array> {
  let sent = false;
  return new ReadableStream({
    pull(controller) {
      if (sent) controller.error(new Error("half-way"));
      else controller.enqueue(new TextEncoder().encode(text));
      sent = true;
    },
  });
}

/** What a stream says to its end; undefined if there is none. */
export function textOf(stream: ReadableStream<Uint8Array> | undefined): Promise<string | undefined> {
  return stream ? new Response(stream).text() : Promise.resolve(undefined);
}
