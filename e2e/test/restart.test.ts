// A restart costs nothing: what the fleet has rendered is served by new processes without a render.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PAGE_CACHE_CONTROL, ROUTE_CACHE_CONTROL, SKIP_APP_REDIRECT, TOLD_LIFETIMES } from "../harness/expect.ts";
import { Fleet, TOPOLOGIES } from "../harness/fleet.ts";
import type { Reply } from "../harness/http.ts";

const PAGES = ["/a/kept", "/p/kept", "/r/kept", "/a/missing-kept", "/p/missing-kept", "/a/moved-kept", "/p/moved-kept"];

for (const { topology, title } of TOPOLOGIES) {
  describe(`restart: ${title}`, () => {
    let fleet: Fleet;
    let warmed: Map<string, Reply>;
    before(async () => {
      fleet = await Fleet.start({ topology });
      warmed = new Map();
      for (const page of PAGES) warmed.set(page, await fleet.a.request(page));
      await fleet.a.request("/data/kept");
    });
    after(() => fleet?.stop());

    async function assertNothingLost(): Promise<void> {
      const renders = fleet.origin.allRenders;
      for (const replica of fleet.replicas) {
        for (const page of PAGES) {
          const [was, is] = [warmed.get(page), await replica.request(page)];
          const where = `${page} at ${replica.name}`;
          assert.equal(is.status, was?.status, where);
          assert.equal(is.cache, "HIT", where);
          assert.equal(is.cacheControl, page.startsWith("/r/") ? ROUTE_CACHE_CONTROL : PAGE_CACHE_CONTROL, where);
          if (!page.startsWith("/a/moved") || !SKIP_APP_REDIRECT) {
            assert.equal(is.headers.location, was?.headers.location, where);
          }
          assert.deepEqual(is.marker, was?.marker, where);
          if (is.status === 200) assert.ok(is.body.equals(was?.body as Buffer), `${where}: the same bytes`);
        }
        assert.equal((await replica.request("/data/kept")).status, 200);
      }
      assert.equal(fleet.origin.allRenders, renders, "no page was rendered, and no unstable_cache was filled");
      assert.equal(fleet.origin.calls("/data/kept"), 1, "fetch asked the origin once, before the restart");
    }

    test("after both replicas were restarted, every page is a HIT with its Cache-Control, without a render", async () => {
      await fleet.a.stop();
      await fleet.b.kill();
      await Promise.all([fleet.a.start(), fleet.b.start()]);
      await assertNothingLost();
    });

    test("each process says once by which way it is told lifetimes", () => {
      for (const replica of fleet.replicas) assert.equal(replica.program.lines(TOLD_LIFETIMES).length, 1, replica.name);
    });

    if (topology !== "redis") return;

    test("after the daemons were restarted too, Redis still has it all", async () => {
      await Promise.all([fleet.a.stop(), fleet.b.kill()]);
      const [first, second] = fleet.daemons;
      await first?.stop();
      await second?.kill();
      await Promise.all(fleet.daemons.map((daemon) => daemon.start()));
      await Promise.all([fleet.a.start(), fleet.b.start()]);
      await assertNothingLost();
    });

    test("after the daemons alone were restarted, the replicas go on with all of it", async () => {
      const [first, second] = fleet.daemons;
      await first?.stop();
      await second?.kill();
      await Promise.all(fleet.daemons.map((daemon) => daemon.start()));
      await fleet.reached();
      await assertNothingLost();
    });
  });
}
