// A page that is known and fresh costs Redis nothing, and the daemon next to nothing.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Fleet } from "../harness/fleet.ts";
import { failuresIn, Load } from "../harness/load.ts";

const REQUESTS = 1000;

/** Small enough to go by the session: of a lease whose write went beside it, the daemon learns when it renews it. */
const PAGES = ["/a/20k-hot", "/p/20k-hot", "/r/20k-hot"];

/** What names an entry or its lease; the rest is upkeep, which does not grow with the requests. */
const ENTRY_OR_LEASE = /isrd:1:[el]:/;

/** Upkeep, such as the daemons' look at the log, in commands per daemon and second. */
const UPKEEP_PER_SECOND = 10;

/** Now and then a replica does not know whether what it holds is all that counts, on a busy machine more often. */
const HANDFUL = REQUESTS / 20;

describe("a hot page: two replicas on a daemon each, one Redis", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ topology: "redis" });
    for (const page of PAGES) for (const replica of fleet.replicas) await replica.request(page);
    await fleet.vouched();
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

  test(`${REQUESTS} requests for one page at one replica cost its daemon a handful of gets`, async (t) => {
    const daemon = fleet.daemonOf(fleet.a);
    const gets = async () => (await daemon.metrics()).sum("isrd_cache_gets_total");
    const [page, other] = ["/a/20k-near", "/a/20k-near-other"];
    await fleet.a.request(page); // it renders, and has its own write
    const before = await gets();
    await fleet.a.request(other);
    assert.ok(
      (await gets()) > before,
      "a page that it does not know costs one, so that the count below means something",
    );
    const known = await gets();
    const load = new Load({ replicas: [fleet.a], clients: 8, next: () => page });
    await load.more(REQUESTS, 60_000);
    const samples = await load.stop();
    const asked = (await gets()) - known;
    t.diagnostic(`${asked} gets at the daemon for ${samples.length} requests`);
    assert.deepEqual(failuresIn(samples), []);
    assert.deepEqual([...new Set(samples.map(({ cache }) => cache))], ["HIT"]);
    assert.ok(asked <= HANDFUL, `${asked} gets`);
    assert.equal(fleet.origin.renders(page), 1);
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
