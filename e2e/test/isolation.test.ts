// Who shares what on one daemon: the builds of an app share data and no pages, apps share nothing.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { markerOf } from "../harness/ask.ts";
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
});
