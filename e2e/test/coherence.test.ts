// Four replicas on two daemons with one Redis are one cache: one renders for all, who dies is followed at once, and
// nothing that was rendered from old data comes back. Renders are held by a latch in the origin.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ask, assertNewEverywhere, markerOf, oneRenderOf } from "../harness/ask.ts";
import { Backend } from "../harness/backend.ts";
import { Fleet } from "../harness/fleet.ts";
import type { Latch } from "../harness/origin.ts";
import type { Replica } from "../harness/replica.ts";
import { Traffic } from "../harness/traffic.ts";
import { eventually, within } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;

/** Far below the TTL of a lease (30 s) and the longest wait for a page (10 s). */
const AT_ONCE_MS = 2000;

/** The `revalidate` of the app's pages below /short. */
const SHORT_MS = 4000;

const EACH = 10;
const REVALIDATIONS = 200;
const REVALIDATORS = 5;

describe("coherence: four replicas on two daemons, one Redis", () => {
  let fleet: Fleet;
  let backends: Backend[];
  let others: readonly Replica[];
  before(async () => {
    fleet = await Fleet.start({ topology: "redis", replicas: 4 });
    backends = fleet.daemons.map((daemon) => new Backend(daemon));
    others = fleet.replicas.slice(1);
    // All have a session, and have loaded the routes.
    for (const page of ["/a/1k-warm", "/short/1k-warm"]) await Promise.all(ask(fleet.replicas, page));
  });
  beforeEach(async () => {
    await Promise.all(fleet.daemons.map((daemon) => daemon.connected(2)));
  });
  after(async () => {
    for (const backend of backends ?? []) backend.close();
    await fleet?.stop();
  });

  /** A figure's growth since this was called. */
  async function growth(name: string, labels: Record<string, string>): Promise<() => Promise<number>> {
    const was = await fleet.sum(name, labels);
    return async () => (await fleet.sum(name, labels)) - was;
  }

  function parked(count: number): Promise<void> {
    return eventually(`${count} replicas wait`, TIMEOUT_MS, async () => {
      assert.equal(await fleet.sum("isrd_cache_reads_parked"), count);
    });
  }

  /** A renders a page that nobody has and is held; each of the others waits for it. */
  async function heldAtA(page: string) {
    const latch = fleet.origin.hold(`/renders${page}`);
    const atA = Promise.allSettled(ask([fleet.a], page, EACH));
    await within(latch.arrived(1), TIMEOUT_MS, "A renders");
    const elsewhere = Promise.all(ask(others, page, EACH));
    await parked(others.length);
    return { latch, atA, elsewhere };
  }

  /** One of those that waited renders at once, and its write answers the others. */
  async function assertFollowed(page: string, next: Latch, ended: number, elsewhere: ReturnType<typeof Promise.all>) {
    await within(next.arrived(1), AT_ONCE_MS, "another renders");
    const ms = performance.now() - ended;
    await parked(others.length - 1);
    next.release();
    oneRenderOf((await elsewhere) as Awaited<ReturnType<Replica["request"]>>[]);
    assert.equal(fleet.origin.renders(page), 2, "one render that came to nothing, one that answered all");
    return `another rendered after ${ms.toFixed(0)} ms`;
  }

  test("40 requests for a page that nobody has rendered: one render and one write answer all of them", async () => {
    const page = "/a/cold-for-four";
    const latch = fleet.origin.hold(`/renders${page}`);
    const byWrite = await growth("isrd_waits_ended_total", { by: "write" });
    const waits = await growth("isrd_waits_ended_total", {});
    const writes = await growth("isrd_cache_sets_total", { space: "route" });
    const replies = Promise.all(ask(fleet.replicas, page, EACH));
    await within(latch.arrived(1), TIMEOUT_MS, "a render has begun");
    await parked(3);
    latch.release();
    oneRenderOf(await replies);
    assert.equal(fleet.origin.renders(page), 1);
    assert.equal(await writes(), 1);
    assert.deepEqual([await byWrite(), await waits()], [3, 3], "each replica that waited was answered by the write");
  });

  test("40 requests for a page whose time is over: one render, and all have the old page while it lasts", async (t) => {
    const page = "/short/old-for-four";
    const old = markerOf(await fleet.a.request(page));
    const rendered = performance.now();
    for (const replica of others) assert.deepEqual(markerOf(await replica.request(page)), old);
    const latch = fleet.origin.hold(`/renders${page}`);
    await delay(SHORT_MS - (performance.now() - rendered) + 100); // its lifetime: it must pass
    const replies = await Promise.all(ask(fleet.replicas, page, EACH));
    await within(latch.arrived(1), TIMEOUT_MS, "a render has begun");
    assert.deepEqual(oneRenderOf(replies), old, "the old page, while the new one is held");
    const slowest = Math.max(...replies.map(({ ms }) => ms));
    assert.ok(slowest < AT_ONCE_MS, `nobody waits: ${slowest.toFixed(0)} ms`);
    t.diagnostic(`the slowest of ${replies.length} answers took ${slowest.toFixed(0)} ms`);
    assert.equal(fleet.origin.renders(page), 2, "one replica regenerates");
    latch.release();
    await eventually("all have the new page", SHORT_MS, async () => {
      const marker = oneRenderOf(await Promise.all(ask(fleet.replicas, page)));
      assert.notEqual(marker.render, old.render);
    });
    assert.equal(fleet.origin.renders(page), 2);
  });

  test("the replica that renders is killed: another renders at once, for all that wait", async (t) => {
    const page = "/a/killed";
    const { atA, elsewhere } = await heldAtA(page);
    const next = fleet.origin.hold(`/renders${page}`);
    const ended = performance.now();
    await fleet.a.kill();
    t.diagnostic(await assertFollowed(page, next, ended, elsewhere));
    assert.deepEqual([...new Set((await atA).map(({ status }) => status))], ["rejected"]);
    await fleet.a.start();
    oneRenderOf([...(await elsewhere), await fleet.a.request(page)]);
  });

  test("the render throws: another renders at once, for all that wait", async (t) => {
    const page = "/a/thrown";
    const { latch, atA, elsewhere } = await heldAtA(page);
    const next = fleet.origin.hold(`/renders${page}`);
    const ended = performance.now();
    latch.fail();
    t.diagnostic(await assertFollowed(page, next, ended, elsewhere));
    const statuses = (await atA).map((outcome) => (outcome.status === "fulfilled" ? outcome.value.status : "none"));
    assert.deepEqual([...new Set(statuses)], [500], "what threw is an error for those who asked A, and not cached");
    oneRenderOf([...(await elsewhere), await fleet.a.request(page)]);
  });

  for (const [where, number] of [
    ["the same daemon", 0],
    ["the other daemon", 1],
  ] as const) {
    test(`a tag is revalidated at ${where} while a page is rendered from old data: nobody is served that page later`, async () => {
      const name = `held-${number}`;
      const page = `/a/${name}`;
      const { latch, atA, elsewhere } = await heldAtA(page);
      const refused = await growth("isrd_cache_sets_total", { space: "route", outcome: "refused_invalidated" });
      const version = fleet.origin.bump(name);
      assert.equal(await backends[number]?.revalidate(`data:${name}`), true, "acknowledged by the fleet");
      const later = Promise.all(ask(others, page)); // while the old render is held
      latch.release();
      for (const reply of await later)
        assert.equal(markerOf(reply).version, version, "asked for after the revalidation");
      for (const outcome of await atA) {
        assert.equal(outcome.status, "fulfilled");
        if (outcome.status === "fulfilled") markerOf(outcome.value);
      }
      for (const reply of await elsewhere) markerOf(reply);
      assert.equal(await refused(), 1, "the late write");
      for (let round = 0; round < 3; round++) await assertNewEverywhere(fleet.replicas, page, version);
      assert.equal(fleet.origin.renders(page), 2);
    });
  }

  test(`${REVALIDATIONS} revalidations at random daemons under traffic: no read that begins after one is older`, async (t) => {
    const names = Array.from({ length: 5 }, (_, number) => `1k-busy-${number}`);
    const traffic = new Traffic({ origin: fleet.origin, replicas: fleet.replicas, names, clientsEach: 1 });
    t.after(() => traffic.stop()); // also if this fails: a replica that is asked without end does not stop
    const took: number[] = [];
    const revalidateSome = async (random: (limit: number) => number) => {
      for (let number = 0; number < REVALIDATIONS / REVALIDATORS; number++) {
        const name = names[random(names.length)] as string;
        const version = fleet.origin.bump(name);
        const began = performance.now();
        assert.equal(await backends[random(backends.length)]?.revalidate(`data:${name}`), true, "acknowledged");
        took.push(performance.now() - began);
        traffic.acknowledged(name, version);
        await Promise.all(fleet.replicas.map((replica) => traffic.ask(replica, name)));
      }
    };
    await Promise.all(Array.from({ length: REVALIDATORS }, (_, number) => revalidateSome(randomFrom(number))));
    await traffic.stop();
    const { reads, hits, joined, failures, older } = traffic.result();
    took.sort((a, b) => a - b);
    const [median, p99] = [took[REVALIDATIONS / 2], took[Math.floor(0.99 * REVALIDATIONS)]];
    t.diagnostic(`${REVALIDATIONS} revalidations: median ${median?.toFixed(1)} ms, p99 ${p99?.toFixed(1)} ms`);
    t.diagnostic(
      `${reads} reads, ${hits} of them hits; ${joined} were joined by Next.js to an older render; ${older.length} older`,
    );
    assert.deepEqual(failures, []);
    assert.deepEqual(older, []);
    assert.ok(hits > REVALIDATIONS, "the cache was in use");
  });
});

/** Numbers below a limit, the same ones in every run. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed + 1;
  return (limit) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * limit);
  };
}
