// Redis may lose any of its keys: what it loses is regenerated, and nothing old comes back by it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, assertNewEverywhere, oneRenderOf } from "../harness/ask.ts";
import { Backend } from "../harness/backend.ts";
import { Fleet } from "../harness/fleet.ts";
import { eventually, within } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;

/** What is lost, by the names in Redis. */
const LOSSES = [
  ["the log", "log", "isrd:1:{plain}:log"],
  ["the events", "events", "isrd:1:{plain}:events"],
  ["the entries", "entries", "isrd:1:e:*"],
  ["the leases", "leases", "isrd:1:l:*"],
  ["everything (FLUSHALL)", "all", undefined],
] as const;

describe("Redis loses keys: two replicas on a daemon each", () => {
  let fleet: Fleet;
  let backends: readonly Backend[];
  before(async () => {
    fleet = await Fleet.start({ topology: "redis" });
    backends = fleet.daemons.map((daemon) => new Backend(daemon));
  });
  after(async () => {
    for (const backend of backends ?? []) backend.close();
    await fleet?.stop();
  });

  /** Deletes the keys that match; returns how many that were. */
  async function lose(pattern: string | undefined): Promise<number> {
    if (pattern === undefined) {
      const keys = Number(await fleet.redis.command("dbsize"));
      await fleet.redis.command("flushall");
      return keys;
    }
    const keys = (await fleet.redis.command("--scan", "--pattern", pattern)).split("\n").filter(Boolean);
    return keys.length === 0 ? 0 : Number(await fleet.redis.command("del", ...keys));
  }

  /** Makes the data new, and returns when the fleet has acknowledged it. */
  async function renew(name: string, number: number): Promise<number> {
    const version = fleet.origin.bump(name);
    const backend = backends[number % backends.length] as Backend;
    await eventually(`${name} is revalidated`, TIMEOUT_MS, async () => {
      assert.equal(await backend.revalidate(`data:${name}`), true, "acknowledged by the fleet");
    });
    return version;
  }

  for (const [index, [what, id, pattern]] of LOSSES.entries()) {
    test(`${what}: what was revalidated before stays so, and so does what is revalidated after`, async (t) => {
      const unread = `1k-unread-${id}`; // revalidated and not read since: its old entry is everywhere
      const read = `1k-read-${id}`;
      const held = `1k-held-${id}`;
      for (const name of [unread, read]) oneRenderOf(await Promise.all(ask(fleet.replicas, `/a/${name}`, 2)));
      const versions = new Map<string, number>();
      for (const name of [unread, read]) versions.set(name, await renew(name, index));
      await assertNewEverywhere(fleet.replicas, `/a/${read}`, versions.get(read) ?? 0);
      const latch = fleet.origin.hold(`/renders/a/${held}`);
      const atA = fleet.a.request(`/a/${held}`); // an old render, with its lease, over all of this
      await within(latch.arrived(1), TIMEOUT_MS, "A renders");

      t.diagnostic(`${await lose(pattern)} keys were lost`);
      for (const name of [unread, read]) {
        await assertNewEverywhere(fleet.replicas, `/a/${name}`, versions.get(name) ?? 0);
      }
      for (const name of [unread, read, held]) versions.set(name, await renew(name, index + 1));
      latch.release();
      assert.equal((await atA).status, 200);
      for (const name of [unread, read, held]) {
        for (let round = 0; round < 2; round++) {
          await assertNewEverywhere(fleet.replicas, `/a/${name}`, versions.get(name) ?? 0);
        }
        oneRenderOf(await Promise.all(ask(fleet.replicas, `/a/${name}`)));
      }
    });
  }

  test("the log, while no daemon runs that knows it: what it had revalidated does not come back", async () => {
    const [page, name] = ["/a/1k-unknown", "1k-unknown"];
    oneRenderOf(await Promise.all(ask(fleet.replicas, page, 2)));
    const version = await renew(name, 0); // the old entry is still in Redis
    await Promise.all(fleet.daemons.map((daemon) => daemon.kill()));
    assert.equal(await lose("isrd:1:{plain}:log"), 1);
    await Promise.all(fleet.daemons.map((daemon) => daemon.start()));
    await Promise.all(fleet.daemons.map((daemon) => daemon.connected(1)));
    await assertNewEverywhere(fleet.replicas, page, version);
    oneRenderOf(await Promise.all(ask(fleet.replicas, page)));
  });

  test("the count of a page's renders that ended without a write: the page is rendered once, and cached", async (t) => {
    const page = "/a/1k-idle";
    const build = await fleet.a.buildId();
    for (const backend of backends) {
      const known = await backend.get(page, build, { lease: true });
      assert.notEqual(known.lease, "0", "it may render");
      assert.equal(await backend.complete(known), true);
    }
    const lost = await lose("isrd:1:n:*");
    t.diagnostic(`${lost} keys were lost`);
    assert.ok(lost > 0, "there was such a count");
    oneRenderOf(await Promise.all(ask(fleet.replicas, page, 5)));
    assert.equal(fleet.origin.renders(page), 1);
    const version = await renew("1k-idle", 0);
    await assertNewEverywhere(fleet.replicas, page, version);
  });
});
