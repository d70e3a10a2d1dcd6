// Who is cut off serves what it has, and nothing that was revalidated meanwhile once it is back; who was killed goes on
// where it was.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, assertNewEverywhere, markerOf, oneRenderOf } from "../harness/ask.ts";
import { Backend } from "../harness/backend.ts";
import { Fleet } from "../harness/fleet.ts";
import { failuresIn, Load, percentile, slowerThan } from "../harness/load.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually, within } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;

/** Two cores run everything; what is looked for are time-outs that add up, and waits without an end. */
const EVERY_ANSWER_MS = 2500;

/** Longer than what a daemon is vouched for (1 s), and than the TTL of what it knows of others. E2E_LONG=1: half a minute. */
const CUT_MS = process.env.E2E_LONG ? 30_000 : 5000;

/** A daemon looks for Redis again at least so often, and a busy machine is given time. */
const BACK_WITHIN_MS = 10_000;

describe("a daemon that is cut from Redis: four replicas on two daemons, one Redis", () => {
  let fleet: Fleet;
  let build: string;
  let near: readonly [Backend, Backend];
  let connected: readonly Replica[];
  let severed: readonly Replica[];
  before(async () => {
    fleet = await Fleet.start({ topology: "redis", replicas: 4, cuttable: true });
    build = await fleet.a.buildId();
    const [first, second] = fleet.daemons.map((daemon) => new Backend(daemon));
    near = [first as Backend, second as Backend];
    connected = fleet.replicas.filter((replica) => fleet.daemonOf(replica) === fleet.daemons[0]);
    severed = fleet.replicas.filter((replica) => fleet.daemonOf(replica) === fleet.daemons[1]);
  });
  after(async () => {
    for (const backend of near ?? []) backend.close();
    await fleet?.stop();
  });

  /** Waits until the daemon that was cut off answers without the flag; returns that answer. */
  function unflagged(page: string) {
    return eventually("the daemon answers unflagged", BACK_WITHIN_MS, async () => {
      const known = await near[1].get(page, build);
      assert.notEqual(known.reason, "REASON_STORE_UNAVAILABLE");
      return known;
    });
  }

  test("its replicas answer all the while, and its first unflagged answer has what was revalidated elsewhere", async (t) => {
    const pages = ["/a/1k-cut-0", "/a/1k-cut-1"] as const;
    const [there, here] = ["1k-cut-0", "1k-cut-1"] as const;
    for (const page of pages) oneRenderOf(await Promise.all(ask(fleet.replicas, page, 2)));
    const load = new Load({ replicas: severed, clients: 4, next: (number) => pages[number % 2] as string });
    t.after(() => load.stop()); // also if this fails: a replica that is asked without end does not stop
    await load.more(20, TIMEOUT_MS);
    await fleet.cut.cut();
    const over = performance.now() + CUT_MS;

    const version = fleet.origin.bump(there);
    const began = performance.now();
    assert.equal(
      await near[0].revalidate(`data:${there}`),
      true,
      "the fleet has acknowledged it: it waits 1 s for who is cut off",
    );
    t.diagnostic(`revalidated after ${(performance.now() - began).toFixed(0)} ms`);
    await assertNewEverywhere(connected, pages[0], version);
    fleet.origin.bump(here);
    assert.equal(await near[1].revalidate(`data:${here}`), false, "it can hold on this node only");
    await assertNewEverywhere(severed, pages[1], 2);
    const flagged = await near[1].get(pages[0], build);
    t.diagnostic(
      `the daemon that is cut off says ${flagged.status} ${flagged.reason}, version ${flagged.marker?.version}`,
    );
    assert.equal(flagged.reason, "REASON_STORE_UNAVAILABLE");

    await eventually("the cut has lasted long enough", CUT_MS + TIMEOUT_MS, () => {
      if (performance.now() < over) throw new Error("it is still to last");
    });
    await fleet.cut.heal();
    const healed = performance.now();
    const first = await unflagged(pages[0]);
    t.diagnostic(
      `unflagged ${(performance.now() - healed).toFixed(0)} ms after it was healed: ${first.status} ${first.reason}`,
    );
    if (first.marker) assert.equal(first.marker.version, version, "the first unflagged answer is new");
    else assert.equal(first.status, "STATUS_MISS");
    await assertNewEverywhere(fleet.replicas, pages[0], version);

    const samples = await load.stop();
    t.diagnostic(
      `${samples.length} requests to the two replicas behind it: p99 ${percentile(0.99, samples).toFixed(0)} ms`,
    );
    assert.deepEqual(failuresIn(samples), []);
    assert.deepEqual(slowerThan(EVERY_ANSWER_MS, samples), []);
    await eventually("what was revalidated while it was cut off is new everywhere", BACK_WITHIN_MS, () =>
      assertNewEverywhere(fleet.replicas, pages[1], 2),
    );
    for (const page of pages) oneRenderOf(await Promise.all(ask(fleet.replicas, page)));
  });

  test("a daemon is killed and started again: its replicas go on, and nothing is rendered again", async () => {
    const pages = Array.from({ length: 10 }, (_, number) => `/a/1k-kept-${number}`);
    for (const page of ["/a/1k-anything", ...pages]) oneRenderOf(await Promise.all(ask(fleet.replicas, page)));
    const renders = fleet.origin.allRenders;
    const [, second] = fleet.daemons;
    await second?.kill();
    await second?.start();
    await second?.connected(severed.length);
    await fleet.vouched();
    for (const page of pages) {
      for (const reply of await Promise.all(ask(fleet.replicas, page))) assert.equal(reply.cache, "HIT", page);
    }
    assert.equal(fleet.origin.allRenders, renders);
  });

  test("a daemon is killed and started again while a replica renders: nobody else renders the same", async () => {
    const page = "/a/claimed";
    const latch = fleet.origin.hold(`/renders${page}`);
    const [, second] = fleet.daemons;
    const renderer = severed[0] as Replica;
    const atRenderer = renderer.request(page);
    await within(latch.arrived(1), TIMEOUT_MS, "it renders");
    await second?.kill();
    await second?.start();
    await second?.connected(severed.length);
    const others = fleet.replicas.filter((replica) => replica !== renderer);
    const elsewhere = Promise.all(ask(others, page));
    await eventually("the others wait", TIMEOUT_MS, async () => {
      assert.equal(await fleet.sum("isrd_cache_reads_parked"), others.length);
    });
    const began = performance.now();
    latch.release();
    const marker = markerOf(await atRenderer);
    assert.deepEqual(oneRenderOf(await elsewhere), marker);
    assert.ok(performance.now() - began < TIMEOUT_MS, "by the write, and not when the lease ran out");
    assert.equal(fleet.origin.renders(page), 1);
  });
});
