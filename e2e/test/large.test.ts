// Large pages arrive whole, and do not stand in the way of small ones.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Fleet, TOPOLOGIES } from "../harness/fleet.ts";
import { failuresIn, Load, percentile, slowerThan } from "../harness/load.ts";
import { eventually } from "../harness/wait.ts";

const MEGABYTE = 1024 * 1024;

/** A page of 5 MB costs the replica's only thread some tens of milliseconds; a queue of them must not form. */
const SMALL_PAGE_MS = 1500;

const WRITTEN_WITHIN_MS = 60_000;

for (const { topology, title } of TOPOLOGIES) {
  describe(`large pages: ${title}`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ topology });
    });
    after(() => fleet?.stop());

    for (const [page, bytes] of [
      ["/a/300k-large", 0.58 * MEGABYTE],
      ["/p/300k-large", 0.29 * MEGABYTE],
      ["/r/300k-large", 0.29 * MEGABYTE],
      ["/a/2600k-huge", 5 * MEGABYTE],
      ["/p/5200k-huge", 5 * MEGABYTE],
      ["/r/5200k-huge", 5 * MEGABYTE],
      ["/r/24600k-huge", 24 * MEGABYTE],
    ] as const) {
      test(`${page} goes from A to B and stays the same to the byte`, async () => {
        const writes = await fleet.sum("isrd_cache_sets_total", { space: "route" });
        const first = await fleet.a.request(page);
        assert.equal(first.status, 200);
        // 14 answers before it writes, and takes seconds for the largest: it measures them as JSON.
        await eventually("A has written it", WRITTEN_WITHIN_MS, async () => {
          assert.equal(await fleet.sum("isrd_cache_sets_total", { space: "route" }), writes + 1);
        });
        assert.ok(first.body.length > bytes, `it has ${first.body.length} bytes`);
        for (const replica of [fleet.b, fleet.a]) {
          const again = await replica.request(page);
          assert.equal(again.cache, "HIT", replica.name);
          assert.ok(again.body.equals(first.body), `${replica.name}: the same bytes`);
          assert.equal(again.headers.etag, first.headers.etag);
        }
        assert.equal(fleet.origin.renders(page), 1);
      });
    }

    test("small pages are served meanwhile, and no session ends", async (t) => {
      const small = (number: number) => `/${number % 2 === 0 ? "a" : "p"}/1k-small-${number % 5}`;
      const huge = (number: number) => ["/a/2600k-huge", "/p/5200k-huge"][number % 2] as string;
      for (let number = 0; number < 10; number++) {
        for (const replica of fleet.replicas) await replica.request(small(number));
      }
      const lengths = fleet.replicas.map((replica) => replica.program.output.length);
      const renders = fleet.origin.allRenders;
      const beside = new Load({ replicas: fleet.replicas, clients: 2, next: huge });
      const load = new Load({ replicas: fleet.replicas, clients: 4, next: small });
      await beside.more(30, 60_000);
      const [large, samples] = await Promise.all([beside.stop(), load.stop()]);

      const p99 = percentile(0.99, samples).toFixed(0);
      t.diagnostic(`${samples.length} small pages beside ${large.length} huge ones: p99 ${p99} ms`);
      assert.deepEqual(failuresIn([...large, ...samples]), []);
      assert.deepEqual(slowerThan(SMALL_PAGE_MS, samples), []);
      assert.deepEqual([...new Set([...large, ...samples].map(({ cache }) => cache))], ["HIT"]);
      assert.equal(fleet.origin.allRenders, renders);
      for (const [index, replica] of fleet.replicas.entries()) {
        assert.deepEqual(replica.program.lines(/^isrd: /, lengths[index]), [], "nothing to report");
      }
      assert.equal(await fleet.sum("isrd_server_sessions"), 2);
    });
  });
}
