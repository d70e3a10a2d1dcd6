// A page that is known and fresh costs Redis nothing.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Fleet } from "../harness/fleet.ts";
import { failuresIn, Load } from "../harness/load.ts";

const REQUESTS = 1000;
const PAGES = ["/a/hot", "/p/hot", "/r/hot"];

/** What names an entry or its lease; the rest is upkeep, which does not grow with the requests. */
const ENTRY_OR_LEASE = /isrd:1:[el]:/;

/** Upkeep, such as the daemons' look at the log, in commands per daemon and second. */
const UPKEEP_PER_SECOND = 10;

describe("a hot page: two replicas on a daemon each, one Redis", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ topology: "redis" });
    for (const page of PAGES) for (const replica of fleet.replicas) await replica.request(page);
  });
  after(() => fleet?.stop());

  test(`${REQUESTS} requests over both replicas cause no Redis command for entries or leases`, async (t) => {
    const renders = fleet.origin.allRenders;
    const began = performance.now();
    const commands = await fleet.redis.commandsDuring(async () => {
      const next = (number: number) => PAGES[number % PAGES.length] as string;
      const load = new Load({ replicas: fleet.replicas, clients: 8, next });
      await load.more(REQUESTS, 60_000);
      const samples = await load.stop();
      assert.deepEqual(failuresIn(samples), []);
      assert.deepEqual([...new Set(samples.map(({ cache }) => cache))], ["HIT"]);
    });
    const seconds = (performance.now() - began) / 1000;
    t.diagnostic(`${commands.length} Redis commands in ${seconds.toFixed(1)} s, for ${REQUESTS} requests`);
    assert.deepEqual(
      commands.filter((line) => ENTRY_OR_LEASE.test(line)),
      [],
    );
    const upkeep = 2 * UPKEEP_PER_SECOND * (seconds + 1);
    assert.ok(commands.length < upkeep, `upkeep alone: ${commands.length} commands\n${commands.join("\n")}`);
    assert.equal(fleet.origin.allRenders, renders);
  });

  test("a page that nobody has rendered does cause such commands, so that the count above means something", async () => {
    const commands = await fleet.redis.commandsDuring(async () => {
      await fleet.a.request("/a/not-hot");
      await fleet.b.request("/a/not-hot");
    });
    assert.ok(
      commands.some((line) => ENTRY_OR_LEASE.test(line)),
      commands.join("\n"),
    );
  });
});
