// Who shares what on one daemon: the builds of an app share data and no pages, apps share nothing.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { markerOf } from "../harness/ask.ts";
import { PAGE_CACHE_CONTROL } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;
const KINDS = ["a", "p", "r"] as const;

describe("several apps and builds on one daemon", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ topology: "embedded" });
  });
  after(() => fleet?.stop());

  /** Reads pages and data at A, and then at another replica; says what of it was the same. */
  async function shared(other: Replica, name: string): Promise<{ pages: string[]; fetched: boolean; cached: boolean }> {
    const pages: string[] = [];
    for (const kind of KINDS) {
      const page = `/${kind}/1k-${name}`;
      const [here, there] = [await fleet.a.request(page), await other.request(page)];
      if (markerOf(here).render === markerOf(there).render) pages.push(kind);
    }
    for (const replica of [fleet.a, other]) assert.equal((await replica.request(`/data/${name}`)).status, 200);
    const { origin } = fleet;
    return { pages, fetched: origin.calls(`/data/${name}`) === 1, cached: origin.renders(`/cached/${name}`) === 1 };
  }

  test("replicas of the same build share pages and data", async () => {
    assert.deepEqual(await shared(fleet.b, "same"), { pages: [...KINDS], fetched: true, cached: true });
  });

  test("two builds of an app share data, and no pages", async () => {
    const other = await fleet.another({ name: "other-build", buildId: "another-build" });
    assert.deepEqual(await shared(other, "built"), { pages: [], fetched: true, cached: true });
  });

  test("two deployments of a build (deploymentId) share data, and no pages", async () => {
    const other = await fleet.another({ name: "other-deployment", env: { NEXT_DEPLOYMENT_ID: "another" } });
    assert.deepEqual(await shared(other, "deployed"), { pages: [], fetched: true, cached: true });
  });

  test("two apps share nothing, and what one revalidates stays with the other", async () => {
    const other = await fleet.another({ name: "other-app", env: { ISRD_APP: "another" } });
    assert.deepEqual(await shared(other, "met"), { pages: [], fetched: false, cached: false });
    const page = "/a/1k-met";
    const [here, there] = [markerOf(await fleet.a.request(page)), markerOf(await other.request(page))];
    const version = fleet.origin.bump("1k-met");
    await other.webhook({ tags: ["data:1k-met"] });
    await eventually("the other app has the new page", TIMEOUT_MS, async () => {
      const marker = markerOf(await other.request(page));
      assert.equal(marker.version, version);
      assert.notEqual(marker.render, there.render);
    });
    assert.deepEqual(markerOf(await fleet.a.request(page)), here);
  });

  describe("a zone beside it, with a basePath and two languages", () => {
    let zones: readonly [Replica, Replica];
    before(async () => {
      const zone = (name: string) => fleet.another({ name, app: "zone", env: { ISRD_APP: "zone" } });
      zones = [await zone("zone-a"), await zone("zone-b")];
    });

    test("what one of its replicas has rendered, the other serves, in each language its own", async () => {
      const renders = new Set<number>();
      for (const page of ["/zone/p/1k-x", "/zone/de/p/1k-x"]) {
        const [first, second] = [await zones[0].request(page), await zones[1].request(page)];
        assert.equal(second.cache, "HIT");
        assert.equal(second.cacheControl, PAGE_CACHE_CONTROL);
        assert.deepEqual(markerOf(second), markerOf(first));
        renders.add(markerOf(first).render);
      }
      assert.equal(renders.size, 2);
    });

    test("it does not meet the app that has the same path without the basePath", async () => {
      const [here, there] = [await fleet.a.request("/p/1k-zoned"), await zones[0].request("/zone/p/1k-zoned")];
      assert.notEqual(markerOf(here).render, markerOf(there).render);
      assert.notEqual(here.cache, "HIT");
      assert.notEqual(there.cache, "HIT");
    });

    test("res.revalidate renews a page in one language at both of its replicas", async () => {
      const pages = ["/zone/p/1k-lang", "/zone/de/p/1k-lang"] as const;
      const [english, german] = [await zones[0].request(pages[0]), await zones[0].request(pages[1])];
      const reply = await zones[0].request("/zone/api/revalidate?path=/de/p/1k-lang");
      assert.equal(reply.status, 200, reply.text);
      for (const zone of zones) {
        assert.deepEqual(markerOf(await zone.request(pages[0])), markerOf(english));
        assert.notEqual(markerOf(await zone.request(pages[1])).render, markerOf(german).render);
      }
    });
  });
});
