// What `next build` has rendered is there from the first request on, and is an entry like any other afterwards.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertNewEverywhere, markerOf } from "../harness/ask.ts";
import { Backend } from "../harness/backend.ts";
import { PAGE_CACHE_CONTROL } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";
import type { Reply } from "../harness/http.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;

// A log that is lost while nobody is vouched for has forgotten what was revalidated: from then on nothing that was built
// before is offered, so that tests which lose everything come after those that rely on it.
describe("what the build has rendered: two replicas on a daemon each, one Redis", () => {
  let fleet: Fleet;
  let backend: Backend;
  before(async () => {
    fleet = await Fleet.start({ topology: "redis" });
    await fleet.vouched();
    backend = new Backend(fleet.daemons[0] as Fleet["daemons"][number]);
  });
  after(async () => {
    backend?.close();
    await fleet?.stop();
  });

  /** Makes the data of a page new, for the whole fleet. */
  async function renew(name: string): Promise<number> {
    const version = fleet.origin.bump(name);
    assert.equal(await backend.revalidate(`data:${name}`), true, "acknowledged by the fleet");
    return version;
  }

  /** Asks until the page is of that version; until then it may be older, but there must be one. */
  function becomes(replica: Replica, page: string, version: number): Promise<Reply> {
    return eventually(`${page} at ${replica.name} has version ${version}`, TIMEOUT_MS, async () => {
      const reply = await replica.request(page);
      if (reply.status !== 200) throw new Error(`${reply.status}`);
      assert.equal(markerOf(reply).version, version);
      return reply;
    });
  }

  for (const [kind, page] of [
    ["a page", "/prerendered"],
    ["a page of a dynamic route", "/seeded/1k-one"],
    ["a page of a route with dynamicParams = false", "/closed/1k-one"],
    ["a page of a route with fallback: false", "/p-closed/1k-one"],
  ] as const) {
    test(`${kind} is a HIT with its Cache-Control on the first request, without a render`, async () => {
      const replies = [await fleet.a.request(page), await fleet.b.request(page)];
      for (const reply of replies) {
        assert.equal(reply.status, 200);
        assert.equal(reply.cache, "HIT");
        assert.equal(reply.cacheControl, PAGE_CACHE_CONTROL);
        assert.deepEqual(markerOf(reply), markerOf(replies[0] as Reply));
      }
      assert.equal(fleet.origin.renders(page), 0);
    });
  }

  test("a page of an open route is new once its tag was revalidated, and stays so when Redis loses everything", async () => {
    const [page, name] = ["/seeded/1k-two", "1k-two"];
    assert.equal((await fleet.b.request(page)).cache, "HIT");
    const version = await renew(name);
    await assertNewEverywhere(fleet.replicas, page, version);
    await fleet.redis.command("flushall");
    for (let round = 0; round < 3; round++) await assertNewEverywhere(fleet.replicas, page, version);
  });

  test("a path that the build found missing, and that exists by now, becomes a page and stays one", async () => {
    const page = "/p-gone/1k-gone";
    await becomes(fleet.a, page, 1);
    await becomes(fleet.b, page, 1);
    await fleet.redis.command("flushall");
    await Promise.all(fleet.replicas.map((replica) => becomes(replica, page, 1)));
    for (const replica of [fleet.a, fleet.b, fleet.a]) {
      assert.equal((await replica.request(page)).status, 200, "no 404 comes back");
    }
  });

  test("a page with dynamicParams = false is never a 404: not when its tag was revalidated, nor after FLUSHALL", async () => {
    const [page, name] = ["/closed/1k-two", "1k-two"];
    const never404 = async (version: number) => {
      for (const replica of fleet.replicas) {
        assert.equal((await replica.request(page)).status, 200, replica.name);
        await becomes(replica, page, version);
      }
    };
    const version = await renew(name);
    await never404(version);
    await fleet.redis.command("flushall");
    await never404(version);
    assert.equal((await fleet.a.request("/closed/1k-other")).status, 404, "what the build does not know is none");
  });

  test("a page with fallback: false is never a 404: not when it was revalidated, nor after FLUSHALL", async () => {
    const page = "/p-closed/1k-two";
    const version = fleet.origin.bump("1k-two");
    assert.equal((await fleet.a.request(`/api/revalidate?path=${page}`)).status, 200);
    for (const replica of fleet.replicas) await becomes(replica, page, version);
    await fleet.redis.command("flushall");
    for (const replica of fleet.replicas) {
      assert.equal((await replica.request(page)).status, 200, replica.name);
      await becomes(replica, page, version);
    }
    assert.equal((await fleet.a.request("/p-closed/1k-other")).status, 404, "what the build does not know is none");
  });

  test("a new container of the same build does not bring back what was revalidated since", async () => {
    const [read, unread] = ["1k-three", "1k-prerendered"];
    const versions = [await renew(read), await renew(unread)] as const;
    const fresh = await fleet.a.request(`/seeded/${read}`);
    assert.equal(markerOf(fresh).version, versions[0]);
    const c = await fleet.another({ name: "same-build" });
    const atC = await c.request(`/seeded/${read}`);
    assert.equal(atC.cache, "HIT");
    assert.deepEqual(atC.marker, fresh.marker);
    assert.equal(markerOf(await c.request("/prerendered")).fetched, versions[1], "nobody has read it since");
  });

  test("a new build is not made cold by a tag that was revalidated before it", async () => {
    const c = await fleet.another({ name: "new-build", buildId: "the-second-build" });
    const renders = fleet.origin.allRenders;
    for (const page of ["/seeded/1k-two", "/seeded/1k-three", "/prerendered", "/closed/1k-two"]) {
      const reply = await c.request(page);
      assert.equal(reply.status, 200);
      assert.equal(reply.cache, "HIT", page);
      assert.equal(reply.cacheControl, PAGE_CACHE_CONTROL, page);
    }
    assert.equal(fleet.origin.allRenders, renders);
  });
});
