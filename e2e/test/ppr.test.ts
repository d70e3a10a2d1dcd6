// Pages with a shell that is kept and a part that is rendered for every request (partial prerendering).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { markerOf } from "../harness/ask.ts";
import { Backend } from "../harness/backend.ts";
import { Fleet } from "../harness/fleet.ts";
import { since } from "../harness/next.ts";
import { Queue } from "../harness/queue.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually } from "../harness/wait.ts";

const GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const NONE = since("next16") ? false : "before 16 no release has partial prerendering";

const TIMEOUT_MS = 10_000;

/** What the shell has in place of the part that comes later. */
const LATER = /<h2>later<\/h2>/;

describe("partial prerendering: two replicas on a daemon each, one Redis", { skip: NONE }, () => {
  let fleet: Fleet;
  let backend: Backend;
  before(async () => {
    fleet = await Fleet.start({ topology: "redis", app: "cached" });
    backend = new Backend(fleet.daemons[1] as never, "cached");
    await fleet.vouched("/ppr/anything");
  });
  after(async () => {
    backend?.close();
    await fleet?.stop();
  });

  /** The page has its shell first, and then the rest. */
  async function shellOf(replica: Replica, page: string): Promise<number> {
    const reply = await replica.request(page);
    assert.match(reply.text, LATER, `${replica.name} sends a shell`);
    assert.match(reply.text, /<h2>\d+<\/h2>/, `${replica.name} sends the rest`);
    return markerOf(reply).render;
  }

  test("a shell that the build has rendered is served by both from the first request on", async () => {
    const shells = new Set<number>();
    for (const replica of fleet.replicas) shells.add(await shellOf(replica, "/ppr/built"));
    assert.equal(shells.size, 1);
    assert.equal(fleet.origin.renders("/hour/built"), 0, "what the shell has is not called again");
  });

  test("a stale shell is served once more, and made anew once for both", async () => {
    const old = await shellOf(fleet.a, "/ppr/built");
    await fleet.a.webhook({ tags: ["hour:built"], profile: "max" });
    const renewed = (replica: Replica): Promise<number> =>
      eventually(`${replica.name} has a new shell`, TIMEOUT_MS, async () => {
        const shell = await shellOf(replica, "/ppr/built");
        assert.notEqual(shell, old);
        return shell;
      });
    assert.equal(await renewed(fleet.b), await renewed(fleet.a));
    assert.equal(fleet.origin.renders("/hour/built"), 1);
  });

  test("a page without parameters whose tag was revalidated is rendered once for both", async () => {
    const old = markerOf(await fleet.a.request("/still"));
    const writes = () => fleet.sum("isrd_cache_sets_total", { space: "route" });
    const before = await writes();
    assert.equal(await backend.revalidate("hour:still"), true);
    const latch = fleet.origin.hold("/renders/hour/still");
    const requests = fleet.replicas.map((replica) => replica.request("/still"));
    await latch.arrived(1);
    await eventually("the other waits for its page", TIMEOUT_MS, async () => {
      assert.equal(await fleet.sum("isrd_cache_reads_parked"), 1);
    });
    latch.release();
    const [first, second] = (await Promise.all(requests)).map((reply) => markerOf(reply).render);
    assert.notEqual(first, old.render);
    assert.equal(second, first);
    assert.equal((await writes()) - before, 1);
  });

  test("a page whose render joins a call from before a revalidation is not kept", async () => {
    assert.equal(await backend.revalidate("hour:still"), true);
    const latch = fleet.origin.hold("/renders/hour/still");
    const call = fleet.a.request("/call/hour/still");
    await latch.arrived(1);
    const version = fleet.origin.bump("still");
    assert.equal(await backend.revalidate("hour:still"), true);
    // Next.js 16 lets a render join the call of another request, and asks nobody.
    const leases = () => fleet.sum("isrd_cache_leases_total", { space: "route" });
    const before = await leases();
    const joined = fleet.a.request("/still");
    await eventually("the page is rendered", TIMEOUT_MS, async () => assert.equal(await leases(), before + 1));
    await delay(500); // nothing tells that it has joined
    latch.release();
    assert.equal(markerOf(await joined).version, version - 1, "it did join");
    await call;
    for (const replica of [...fleet.replicas, ...fleet.replicas]) {
      assert.equal(markerOf(await replica.request("/still")).version, version, replica.name);
    }
  });

  test("a bot gets the page with all its parts, and everybody else's shell is left alone", async () => {
    const shell = await shellOf(fleet.a, "/ppr/built");
    for (const replica of fleet.replicas) {
      const reply = await replica.request("/ppr/built", { headers: { "user-agent": GOOGLEBOT } });
      markerOf(reply);
      assert.match(reply.text, /<h2>\d+<\/h2>/);
    }
    for (const replica of fleet.replicas) assert.equal(await shellOf(replica, "/ppr/built"), shell);
  });

  test("a job writes a new shell, for both", async (t) => {
    const queue = new Queue(fleet.daemons[0] as never, "cached");
    t.after(() => queue.close());
    const old = await shellOf(fleet.a, "/ppr/built");
    const [job] = await queue.ended(await queue.enqueue(["/ppr/built"]), TIMEOUT_MS);
    assert.deepEqual([job?.outcome, job?.attempt], ["JOB_OUTCOME_WRITTEN", 1], JSON.stringify(job));
    const shell = await shellOf(fleet.a, "/ppr/built");
    assert.notEqual(shell, old);
    for (const replica of fleet.replicas) assert.equal(await shellOf(replica, "/ppr/built"), shell);
  });
});
