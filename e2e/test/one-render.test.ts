// However many ask for a page, one renders it. Renders are held by a latch in the origin, so nothing here depends on
// how fast anything is.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { SKIP_PROFILES } from "../harness/expect.ts";
import { Fleet, TOPOLOGIES } from "../harness/fleet.ts";
import type { Reply } from "../harness/http.ts";
import { eventually, within } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;

/** While a render is held, whoever gets an old copy must have it well before anybody could think of a time-out. */
const AT_ONCE_MS = 1500;

/** The `revalidate` of the app's pages below /short. */
const SHORT_MS = 4000;

for (const { topology, title } of TOPOLOGIES) {
  describe(`one render: ${title}`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ topology });
      // Both have a session, and have loaded the routes.
      for (const replica of fleet.replicas) {
        for (const page of ["/a/1k-warm", "/p/1k-warm", "/r/1k-warm", "/short/1k-warm"]) await replica.request(page);
      }
    });
    after(() => fleet?.stop());

    /** So many requests for a page at each replica, at the same time. */
    function ask(page: string, each: number): Promise<Reply>[] {
      return fleet.replicas.flatMap((replica) => Array.from({ length: each }, () => replica.request(page)));
    }

    for (const [kind, page] of [
      ["a page of the App Router", "/a/cold"],
      ["a page of the Pages Router", "/p/cold"],
      ["a route handler", "/r/cold"],
    ] as const) {
      test(`40 requests for ${kind} that nobody has rendered: one render answers all of them`, async () => {
        const latch = fleet.origin.hold(`/renders${page}`);
        const byWrite = await fleet.sum("isrd_waits_ended_total", { by: "write" });
        const replies = ask(page, 20);
        await within(latch.arrived(1), TIMEOUT_MS, "a render has begun");
        await eventually("the other replica waits for it", TIMEOUT_MS, async () => {
          assert.equal(await fleet.sum("isrd_cache_reads_parked"), 1);
        });
        latch.release();
        const answers = await Promise.all(replies);
        assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
        assert.equal(new Set(answers.map(({ marker }) => marker?.render)).size, 1, "all are of the same render");
        assert.equal(fleet.origin.renders(page), 1);
        assert.equal((await fleet.sum("isrd_waits_ended_total", { by: "write" })) - byWrite, 1, "ended by the write");
        assert.equal(await fleet.sum("isrd_cache_reads_parked"), 0);
      });
    }

    /** With the page old and its next render held: everybody has the old page at once; then all have the new one. */
    async function assertOneRegenerates(page: string, old: Reply): Promise<void> {
      const before = fleet.origin.renders(page);
      const latch = fleet.origin.hold(`/renders${page}`);
      await eventually(`a replica regenerates ${page}`, TIMEOUT_MS, async () => {
        const reply = await fleet.a.request(page);
        assert.equal(reply.marker?.render, old.marker?.render);
        assert.equal(fleet.origin.renders(page), before + 1);
      });
      // Longer than the second for which a replica that does not regenerate takes the old page for fresh.
      for (let round = 0; round < 4; round++) {
        for (const reply of await Promise.all(ask(page, 5))) {
          assert.equal(reply.status, 200);
          assert.equal(reply.marker?.render, old.marker?.render, "the old page while the new one is rendered");
          assert.ok(reply.ms < AT_ONCE_MS, `nobody waits: ${reply.ms.toFixed(0)} ms`);
        }
        await delay(500);
      }
      const atB = await fleet.b.request(page);
      assert.match(String(atB.cacheControl), /^s-maxage=1,/, "no cache in front keeps the old page for long");
      assert.equal(fleet.origin.renders(page), before + 1, "one replica regenerates");
      latch.release();
      const fresh = await eventually("A serves the new page", TIMEOUT_MS, async () => {
        const reply = await fleet.a.request(page);
        assert.notEqual(reply.marker?.render, old.marker?.render);
        return reply;
      });
      await eventually("B serves the new page", TIMEOUT_MS, async () => {
        assert.deepEqual((await fleet.b.request(page)).marker, fresh.marker);
      });
      assert.equal(fleet.origin.renders(page), before + 1, "the render answered both replicas");
    }

    test("a page whose time is over: all are served the old one at once while one replica regenerates it", async () => {
      const page = "/short/expiring";
      const old = await fleet.a.request(page);
      const rendered = performance.now();
      assert.deepEqual((await fleet.b.request(page)).marker, old.marker);
      await delay(SHORT_MS - (performance.now() - rendered) + 100); // its lifetime: it must pass
      await assertOneRegenerates(page, old);
    });

    const staleTag = "a page whose tag went stale: all are served the old one at once while one replica regenerates it";
    test(staleTag, { skip: SKIP_PROFILES }, async () => {
      const page = "/a/stale";
      const old = await fleet.a.request(page);
      await fleet.b.request(page);
      await fleet.b.webhook({ tags: ["data:stale"], profile: "max" });
      await assertOneRegenerates(page, old);
    });
  });
}
