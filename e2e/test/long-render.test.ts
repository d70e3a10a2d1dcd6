// A render that lasts longer than a lease's TTL is still the only one: the lease is renewed while its holder lives.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ask, oneRenderOf } from "../harness/ask.ts";
import { Fleet } from "../harness/fleet.ts";
import { eventually, within } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;
const LEASE_TTL_MS = 2000;

describe(`a lease of ${LEASE_TTL_MS} ms: two replicas on a daemon each, one Redis`, () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ topology: "redis", flags: ["--lease-ttl", `${LEASE_TTL_MS}ms`] });
    await Promise.all(ask(fleet.replicas, "/a/1k-warm"));
  });
  after(() => fleet?.stop());

  test("a render of three times that is the only one, and its write answers those that wait at both daemons", async () => {
    const page = "/a/long";
    const latch = fleet.origin.hold(`/renders${page}`);
    const byWrite = await fleet.sum("isrd_waits_ended_total", { by: "write" });
    const replies = Promise.all(ask(fleet.replicas, page, 5));
    await within(latch.arrived(1), TIMEOUT_MS, "a render has begun");
    await eventually("the other replica waits", TIMEOUT_MS, async () => {
      assert.equal(await fleet.sum("isrd_cache_reads_parked"), 1);
    });
    await delay(3 * LEASE_TTL_MS); // the render's duration
    assert.equal(await fleet.sum("isrd_cache_reads_parked"), 1, "it still waits");
    assert.equal(fleet.origin.renders(page), 1, "one render");
    latch.release();
    oneRenderOf(await replies);
    assert.equal(fleet.origin.renders(page), 1);
    assert.equal((await fleet.sum("isrd_waits_ended_total", { by: "write" })) - byWrite, 1);
  });
});
