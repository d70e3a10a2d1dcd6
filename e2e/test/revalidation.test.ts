// What one replica has revalidated, all replicas read anew.
//
// Next.js answers a webhook before it has told its cache handler of the revalidation, so a test waits until the new is
// there; from then on the old must not come back.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { submitAction } from "../harness/action.ts";
import { SKIP_PROFILES } from "../harness/expect.ts";
import { Fleet, TOPOLOGIES } from "../harness/fleet.ts";
import type { Marker, Reply } from "../harness/http.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually } from "../harness/wait.ts";

const NEW_WITHIN_MS = 3000;

for (const { topology, title } of TOPOLOGIES) {
  describe(`revalidation: ${title}`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ topology });
    });
    after(() => fleet?.stop());

    /** Has a page cached and known to both replicas. */
    async function warm(page: string): Promise<Marker> {
      const [first, second] = [await fleet.a.request(page), await fleet.b.request(page)];
      assert.deepEqual(second.marker, first.marker);
      assert.equal(second.cache, "HIT");
      return markerOf(first);
    }

    /** Waits until a replica serves another render than the old one. */
    function renewed(replica: Replica, page: string, old: Marker): Promise<Reply> {
      return eventually(`${replica.name} serves a new ${page}`, NEW_WITHIN_MS, async () => {
        const reply = await replica.request(page);
        assert.equal(reply.status, 200);
        assert.notEqual(markerOf(reply).render, old.render, "still the old render");
        return reply;
      });
    }

    /** B serves the new first, A the same, and both go on doing so. */
    async function assertRenewed(page: string, old: Marker, fresh: Partial<Marker>): Promise<void> {
      const atB = markerOf(await renewed(fleet.b, page, old));
      assert.deepEqual({ ...atB, ...fresh }, atB, "the new render has the new data");
      assert.deepEqual(markerOf(await renewed(fleet.a, page, old)), atB, "A serves what B has rendered");
      for (const replica of [fleet.a, fleet.b, fleet.a, fleet.b]) {
        const reply = await replica.request(page);
        assert.deepEqual(markerOf(reply), atB);
        assert.equal(reply.cache, "HIT");
      }
      assert.equal(fleet.origin.renders(page), 2, "one render before, one after");
    }

    for (const [kind, page] of [
      ["a page of the App Router", "/a/tagged"],
      ["a route handler", "/r/tagged-route"],
    ] as const) {
      test(`revalidateTag on A: ${kind} is new on B`, async () => {
        const old = await warm(page);
        const name = page.slice(3);
        const version = fleet.origin.bump(name);
        await fleet.a.webhook({ tags: [`data:${name}`] });
        await assertRenewed(page, old, { version, fetched: version });
      });
    }

    const withProfile = "revalidateTag on A with a profile: a page is new on B after it was regenerated";
    test(withProfile, { skip: SKIP_PROFILES }, async () => {
      const page = "/a/profile";
      const old = await warm(page);
      const version = fleet.origin.bump("profile");
      await fleet.a.webhook({ tags: ["data:profile"], profile: "max" });
      await assertRenewed(page, old, { version });
    });

    for (const [kind, page] of [
      ["a page of the App Router", "/a/by-path"],
      ["a route handler", "/r/route-by-path"],
    ] as const) {
      test(`revalidatePath on A: ${kind} is new on B, and so is the data that it fetches`, async () => {
        const old = await warm(page);
        const version = fleet.origin.bump(page.slice(3));
        await fleet.a.webhook({ paths: [page] });
        await assertRenewed(page, old, { version, fetched: version });
      });
    }

    test("revalidatePath on A: a page of the Pages Router is new on B", async () => {
      const page = "/p/pages-by-path";
      const old = await warm(page);
      const version = fleet.origin.bump("pages-by-path");
      await fleet.a.webhook({ paths: [page] });
      await assertRenewed(page, old, { version });
    });

    test("revalidateTag on A: cached data is new on B, by fetch and by unstable_cache", async () => {
      const read = async (replica: Replica) => JSON.parse((await replica.request("/data/apart")).text);
      const old = await read(fleet.a);
      assert.deepEqual(await read(fleet.b), old);
      const version = fleet.origin.bump("apart");
      await fleet.a.webhook({ tags: ["data:apart", "cached:apart"] });
      const fresh = await eventually("B reads new data", NEW_WITHIN_MS, async () => {
        const data = await read(fleet.b);
        assert.equal(data.fetched.version, version, "by fetch");
        assert.equal(data.cached.version, version, "by unstable_cache");
        return data;
      });
      assert.deepEqual(await read(fleet.a), fresh);
      assert.equal(fleet.origin.calls("/data/apart"), 2);
    });

    test("updateTag (before 16 revalidateTag) in a server action on A: a page is new on B", async () => {
      const page = "/a/updated";
      const old = await warm(page);
      const version = fleet.origin.bump("updated");
      await submitAction(fleet.a, "data:updated");
      await assertRenewed(page, old, { version, fetched: version });
    });

    test("res.revalidate on A: a page of the Pages Router is new on B when it returns", async () => {
      const page = "/p/on-demand";
      const old = await warm(page);
      const version = fleet.origin.bump("on-demand");
      const reply = await fleet.a.request(`/api/revalidate?path=${page}`);
      assert.equal(reply.status, 200, reply.text);
      await assertRenewed(page, old, { version });
    });

    test("a revalidation of one tag leaves other pages alone", async () => {
      const old = await warm("/a/bystander");
      const other = await warm("/a/victim");
      fleet.origin.bump("victim");
      await fleet.a.webhook({ tags: ["data:victim"] });
      await renewed(fleet.b, "/a/victim", other);
      for (const replica of fleet.replicas) assert.deepEqual(markerOf(await replica.request("/a/bystander")), old);
      assert.equal(fleet.origin.renders("/a/bystander"), 1);
    });
  });
}

function markerOf(reply: Reply): Marker {
  assert.ok(reply.marker, `the response names its render: ${reply.status} ${reply.text.slice(0, 200)}`);
  return reply.marker;
}
