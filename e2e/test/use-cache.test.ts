// What a function with 'use cache' has returned at one replica, it returns at all of them, without a call.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { submitAction } from "../harness/action.ts";
import { ask, markerOf, oneRenderOf } from "../harness/ask.ts";
import { Fleet } from "../harness/fleet.ts";
import type { Marker } from "../harness/http.ts";
import { since, VERSION } from "../harness/next.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually, within } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;

/** The `revalidate` of the app's function `short`. */
const SHORT_MS = 4000;

/** The `revalidate` of the app's function `brief`. */
const BRIEF_MS = 1000;

/** A client gives the lease back after ten seconds; the daemon would renew it for two minutes. */
const GIVE_BACK_MS = 20_000;

/** What two daemons and their clients send to Redis while nothing is asked, each and in a second. */
const UPKEEP_PER_SECOND = 20;
const ENTRY_OR_LEASE = /isrd:1:[el]:/;

const none = since("next15") ? false : `${VERSION} has no 'use cache'`;
const no16 = since("next16") ? false : `${VERSION} has none of this`;

describe("'use cache': two replicas on a daemon each, one Redis", { skip: none }, () => {
  let fleet: Fleet;
  before(async () => {
    // Renders are held for as long as a test wants, so whoever waits for one must be as patient.
    fleet = await Fleet.start({ topology: "redis", app: "cached", flags: ["--fetch-wait-limit", "60s"] });
    for (const replica of fleet.replicas) await replica.request("/call/hour/warm");
  });
  after(() => fleet?.stop());

  const call = async (replica: Replica, path: string): Promise<Marker> => markerOf(await replica.request(path));

  /** Waits until a replica returns the result of another call. */
  function renewed(replica: Replica, path: string, old: Marker): Promise<Marker> {
    return eventually(`${replica.name} has a new ${path}`, TIMEOUT_MS, async () => {
      const marker = await call(replica, path);
      assert.notEqual(marker.render, old.render, "still the old result");
      return marker;
    });
  }

  async function warm(path: string): Promise<Marker> {
    const old = await call(fleet.a, path);
    assert.deepEqual(await call(fleet.b, path), old, "B returns what A has kept");
    return old;
  }

  for (const kind of ["hour", "remote", "outer"]) {
    test(`what A has called (${kind}), B returns without a call, also once more`, async () => {
      const old = await warm(`/call/${kind}/shared`);
      for (const replica of fleet.replicas) assert.deepEqual(await call(replica, `/call/${kind}/shared`), old);
      assert.equal(fleet.origin.renders(`/${kind}/shared`), 1);
    });
  }

  test("20 requests at two replicas for what nobody has called: one call answers all of them", async () => {
    const latch = fleet.origin.hold("/renders/hour/cold");
    const replies = ask(fleet.replicas, "/call/hour/cold", 10);
    await within(latch.arrived(1), TIMEOUT_MS, "a call has begun");
    await eventually("the other replica waits for it", TIMEOUT_MS, async () => {
      assert.ok((await fleet.sum("isrd_cache_reads_parked")) >= 1);
    });
    latch.release();
    oneRenderOf(await Promise.all(replies));
    assert.equal(fleet.origin.renders("/hour/cold"), 1);
  });

  test("revalidateTag at A: B has the new", async () => {
    const old = await warm("/call/hour/tagged");
    const version = fleet.origin.bump("tagged");
    await fleet.a.webhook({ tags: ["hour:tagged"] });
    const fresh = await renewed(fleet.b, "/call/hour/tagged", old);
    assert.equal(fresh.version, version);
    assert.deepEqual(await call(fleet.a, "/call/hour/tagged"), fresh);
    assert.equal(fleet.origin.renders("/hour/tagged"), 2);
  });

  test("revalidateTag for the inner of two functions: both are called anew", async () => {
    const old = await warm("/call/outer/nested");
    const version = fleet.origin.bump("nested");
    await fleet.a.webhook({ tags: ["hour:nested"] });
    const fresh = await renewed(fleet.b, "/call/outer/nested", old);
    assert.deepEqual([fresh.version, fresh.fetched], [version, version]);
    assert.deepEqual(await call(fleet.a, "/call/outer/nested"), fresh);
  });

  test("revalidatePath at A: B has the new, although its tags are the page's and not the entry's", async () => {
    const old = await warm("/call/hour/by-path");
    const version = fleet.origin.bump("by-path");
    await fleet.a.webhook({ paths: ["/call/hour/by-path"] });
    assert.equal((await renewed(fleet.b, "/call/hour/by-path", old)).version, version);
    assert.equal((await renewed(fleet.a, "/call/hour/by-path", old)).version, version);
  });

  test("updateTag in a server action at A: its own response has the new, and then B has it", async () => {
    const old = await warm("/call/hour/updated");
    const version = fleet.origin.bump("updated");
    const own = markerOf(await submitAction(fleet.a, "hour:updated", "/action?id=updated"));
    assert.equal(own.version, version, "whoever changes something sees it");
    assert.equal((await renewed(fleet.b, "/call/hour/updated", old)).version, version);
  });

  test("revalidateTag with a profile: the old is returned once more, and one call renews it", {
    skip: no16,
  }, async () => {
    const old = await warm("/call/hour/profile");
    const version = fleet.origin.bump("profile");
    const latch = fleet.origin.hold("/renders/hour/profile");
    await fleet.a.webhook({ tags: ["hour:profile"], profile: "max" });
    await eventually("B calls it anew", TIMEOUT_MS, async () => {
      assert.deepEqual(await call(fleet.b, "/call/hour/profile"), old, "the old while the new is made");
      assert.equal(fleet.origin.renders("/hour/profile"), 2);
    });
    latch.release();
    assert.equal((await renewed(fleet.b, "/call/hour/profile", old)).version, version);
    assert.equal((await renewed(fleet.a, "/call/hour/profile", old)).version, version);
    assert.equal(fleet.origin.renders("/hour/profile"), 2);
  });

  test("revalidateTag with a profile for what a page calls, and another function calls too: both are renewed", {
    skip: no16,
  }, async () => {
    await warm("/call/both/twice");
    const version = fleet.origin.bump("twice");
    await fleet.a.webhook({ tags: ["hour:twice"], profile: "max" });
    for (const replica of fleet.replicas) {
      await eventually(`${replica.name} has the new in both`, TIMEOUT_MS, async () => {
        const marker = await call(replica, "/call/both/twice");
        assert.deepEqual([marker.version, marker.fetched], [version, version]);
      });
    }
  });

  test("revalidateTag with a profile, and the page reads the stale result while the function that calls it too is running", {
    skip: no16,
  }, async () => {
    await warm("/call/during/meanwhile");
    const version = fleet.origin.bump("meanwhile");
    const latch = fleet.origin.hold("/renders/late/meanwhile");
    await fleet.a.webhook({ tags: ["hour:meanwhile"], profile: "max" });
    await delay(500); // the webhook does not wait for it, and whoever asks would renew what is in between
    await eventually("A calls it anew", TIMEOUT_MS, async () => {
      await call(fleet.a, "/call/during/meanwhile");
      assert.equal(fleet.origin.renders("/late/meanwhile"), 2);
    });
    latch.release();
    for (const replica of fleet.replicas) {
      await eventually(`${replica.name} has the new in both`, TIMEOUT_MS, async () => {
        const marker = await call(replica, "/call/during/meanwhile");
        assert.deepEqual([marker.version, marker.fetched], [version, version]);
      });
    }
    const settled = fleet.origin.renders("/late/meanwhile");
    for (const replica of [...fleet.replicas, ...fleet.replicas]) await call(replica, "/call/during/meanwhile");
    assert.equal(fleet.origin.renders("/late/meanwhile"), settled, "it is fresh then");
  });

  test("revalidateTag while a page has what it calls, and another function that calls it too comes later: both are new", {
    skip: no16,
  }, async () => {
    await warm("/call/both/between");
    const latch = fleet.origin.hold("/renders/both/between");
    const between = fleet.a.request("/call/both/between");
    await within(latch.arrived(1), TIMEOUT_MS, "it has called the first");
    const version = fleet.origin.bump("between");
    await fleet.b.webhook({ tags: ["hour:between"] });
    await eventually("it is in force", TIMEOUT_MS, async () => {
      assert.equal((await call(fleet.a, "/call/hour/between")).version, version);
    });
    latch.release();
    await between;
    for (const replica of fleet.replicas) {
      const marker = await call(replica, "/call/both/between");
      assert.deepEqual([marker.version, marker.fetched], [version, version], replica.name);
    }
  });

  test("what is stale by its age is returned once more, and one call in the background renews it for both", async () => {
    const old = await warm("/call/short/old");
    await delay(SHORT_MS + 300); // its lifetime: it must pass
    assert.deepEqual(await call(fleet.b, "/call/short/old"), old);
    await eventually("it is called anew", TIMEOUT_MS, () => assert.equal(fleet.origin.renders("/short/old"), 2));
    const fresh = await renewed(fleet.a, "/call/short/old", old);
    assert.deepEqual(await call(fleet.b, "/call/short/old"), fresh);
    assert.equal(fleet.origin.renders("/short/old"), 2);
  });

  test("a call whose value fails half-way leaves nothing, and nobody waits for it", async () => {
    const latch = fleet.origin.hold("/renders/broken/x");
    const reply = fleet.a.request("/call/broken/x");
    await within(latch.arrived(1), TIMEOUT_MS, "a call has begun");
    const other = fleet.b.request("/call/broken/x");
    await eventually("the other replica waits for it", TIMEOUT_MS, async () => {
      assert.equal(await fleet.sum("isrd_cache_reads_parked"), 1);
    });
    latch.fail();
    assert.equal((await reply).status, 200);
    assert.match((await reply).text, /<h1>broken<\/h1>/);
    const good = markerOf(await within(other, TIMEOUT_MS, "the other replica calls it itself"));
    assert.deepEqual(await call(fleet.a, "/call/broken/x"), good);
    assert.equal(fleet.origin.renders("/broken/x"), 2);
  });

  test("what has not changed costs Redis no command, however many ask", async (t) => {
    await warm("/call/hour/hot");
    const renders = fleet.origin.allRenders;
    const began = performance.now();
    const commands = await fleet.redis.commandsDuring(async () => {
      for (let round = 0; round < 5; round++) await Promise.all(ask(fleet.replicas, "/call/hour/hot", 10));
    });
    const seconds = (performance.now() - began) / 1000;
    t.diagnostic(`${commands.length} Redis commands in ${seconds.toFixed(1)} s, for 100 requests`);
    assert.deepEqual(
      commands.filter((line) => ENTRY_OR_LEASE.test(line)),
      [],
    );
    assert.ok(commands.length < 2 * UPKEEP_PER_SECOND * (seconds + 1), commands.join("\n"));
    assert.equal(fleet.origin.allRenders, renders);
  });

  test("a page whose shell is kept: both parts are the same at both replicas, and new with their tag", {
    skip: no16,
  }, async () => {
    const old = await warm("/ppr/x");
    assert.equal(fleet.origin.renders("/hour/x"), 1);
    assert.equal(fleet.origin.renders("/short/x"), 1);
    const version = fleet.origin.bump("x");
    await fleet.a.webhook({ tags: ["hour:x"] });
    assert.equal((await renewed(fleet.b, "/ppr/x", old)).version, version);
    assert.equal((await renewed(fleet.a, "/ppr/x", old)).version, version);
    assert.equal(fleet.origin.renders("/hour/x"), 2);
  });

  test("a stale result for which a shell has a hole: nobody calls the function, and its lease is given back", {
    skip: no16,
  }, async () => {
    const leases = () => fleet.redis.command("keys", "isrd:1:l:*");
    await fleet.vouched("/hole/anything");
    await warm("/hole/built");
    const latch = fleet.origin.hold("/renders/hour/built");
    await fleet.a.webhook({ tags: ["hour:built"], profile: "max" });
    await delay(BRIEF_MS + 300); // its lifetime: it must pass
    await fleet.a.request("/hole/built");
    await within(latch.arrived(1), TIMEOUT_MS, "the shell is made anew");
    await delay(BRIEF_MS + 300); // again: what fills the hole has renewed it
    const calls = fleet.origin.renders("/brief/built");
    latch.release();
    await eventually("the shell's read of it has the lease", TIMEOUT_MS, async () => {
      assert.equal((await leases()).split("\n").filter(Boolean).length, 1);
    });
    await eventually("it is given back", GIVE_BACK_MS, async () => assert.equal(await leases(), ""));
    assert.equal(fleet.origin.renders("/brief/built"), calls);
  });

  test("after both replicas were restarted, nothing is called again", async () => {
    const paths = ["/call/hour/kept", "/call/remote/kept", "/call/outer/kept"];
    const kept: Marker[] = [];
    for (const path of paths) kept.push(await call(fleet.a, path));
    const renders = fleet.origin.allRenders;
    await Promise.all([fleet.a.stop(), fleet.b.kill()]);
    await Promise.all([fleet.a.start(), fleet.b.start()]);
    for (const replica of fleet.replicas) {
      for (const [index, path] of paths.entries()) assert.deepEqual(await call(replica, path), kept[index]);
    }
    assert.equal(fleet.origin.allRenders, renders);
  });

  test("kill -9 of a daemon: every request is answered, and what A keeps meanwhile it returns again", async () => {
    await fleet.daemonOf(fleet.a).kill();
    for (let number = 0; number < 10; number++) {
      assert.equal((await fleet.a.request("/call/hour/kept")).status, 200);
      assert.equal((await fleet.a.request(`/call/outer/away-${number}`)).status, 200);
    }
    const alone = await call(fleet.a, "/call/hour/alone");
    assert.deepEqual(await call(fleet.a, "/call/hour/alone"), alone);
    await fleet.daemonOf(fleet.a).start();
    let attempt = 0;
    await eventually("A shares again", TIMEOUT_MS, () => warm(`/call/hour/again-${attempt++}`));
  });
});
