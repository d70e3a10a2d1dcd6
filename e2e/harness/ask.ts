import assert from "node:assert/strict";
import type { Marker, Reply } from "./http.ts";
import type { Replica } from "./replica.ts";

/** So many requests for a page at each replica, all at the same time. */
export function ask(replicas: readonly Replica[], page: string, each = 1): Promise<Reply>[] {
  return replicas.flatMap((replica) => Array.from({ length: each }, () => replica.request(page)));
}

/** The render that a response names, which must be a page. */
export function markerOf(reply: Reply): Marker {
  assert.equal(reply.status, 200, reply.text.slice(0, 200));
  assert.ok(reply.marker, `the response names its render: ${reply.text.slice(0, 200)}`);
  return reply.marker;
}

/** The one render that all responses name. */
export function oneRenderOf(replies: readonly Reply[]): Marker {
  const markers = replies.map(markerOf);
  assert.equal(new Set(markers.map(({ render }) => render)).size, 1, "all are of the same render");
  return markers[0] as Marker;
}

/** Asks every replica, and has from each what the origin has now: by the page's own reading, and by its fetch. */
export async function assertNewEverywhere(replicas: readonly Replica[], page: string, version: number): Promise<void> {
  for (const [index, reply] of (await Promise.all(ask(replicas, page))).entries()) {
    const { version: rendered, fetched } = markerOf(reply);
    const where = `${page} at ${replicas[index]?.name} (${reply.cache})`;
    assert.deepEqual({ rendered, fetched }, { rendered: version, fetched: version }, where);
  }
}
