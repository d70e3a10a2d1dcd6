// The cache is never the outage: whatever hangs or dies behind it, every request is answered, and soon.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Fleet, TOPOLOGIES } from "../harness/fleet.ts";
import { failuresIn, Load, percentile, slowerThan } from "../harness/load.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually } from "../harness/wait.ts";

const CLIENTS = 8;
const PHASE_TIMEOUT_MS = 30_000;
const RECOVERY_TIMEOUT_MS = 5000;

/** Two cores run everything, the clients too; what is looked for are time-outs that add up, and waits without an end. */
const EVERY_ANSWER_MS = 2000;

/** What a replica may log for one loss and one return of its daemon: two lines, and some to spare. */
const MAX_LINES = 6;

/** Mostly pages that are known, from both routers, and every tenth one that nobody has rendered. */
function mixed(number: number): string {
  if (number % 10 === 0) return `/a/1k-cold-${number}`;
  if (number % 10 === 5) return `/p/1k-cold-${number}`;
  return `/${number % 2 === 0 ? "a" : "p"}/20k-hot-${number % 7}`;
}

async function warmed(topology: "embedded" | "redis"): Promise<Fleet> {
  const fleet = await Fleet.start({ topology, deadlines: "default" });
  for (let number = 0; number < 70; number++) {
    for (const replica of fleet.replicas) await replica.request(mixed(number));
  }
  return fleet;
}

/** What A renders from now on, B serves: each attempt with a page that nobody has seen. */
async function assertSharesAgain(fleet: Fleet, name: string): Promise<void> {
  let attempt = 0;
  await eventually("B serves what A has just rendered", RECOVERY_TIMEOUT_MS, async () => {
    const page = `/a/1k-${name}-${attempt++}`;
    const first = await fleet.a.request(page);
    const second = await fleet.b.request(page);
    assert.deepEqual(second.marker, first.marker);
    assert.equal(second.cache, "HIT");
  });
}

function isrdLines(replica: Replica, from: number): string[] {
  return replica.program.lines(/^isrd: /, from);
}

for (const { topology, title } of TOPOLOGIES) {
  describe(`kill -9 of a daemon under load: ${title}`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await warmed(topology);
    });
    after(() => fleet?.stop());

    test("every request is answered 200, and the replicas recover by themselves when a daemon is back", async () => {
      const daemon = fleet.daemonOf(fleet.a);
      const clients = await sessionsOf(fleet);
      const lengths = new Map(fleet.replicas.map((replica) => [replica, replica.program.output.length]));
      const load = new Load({ replicas: fleet.replicas, clients: CLIENTS, next: mixed });
      await load.more(200, PHASE_TIMEOUT_MS);
      await daemon.kill();
      await load.more(600, PHASE_TIMEOUT_MS);
      await daemon.start();
      await daemon.connected(clients);
      await load.more(200, PHASE_TIMEOUT_MS);
      const samples = await load.stop();

      assert.deepEqual(failuresIn(samples), []);
      assert.deepEqual(slowerThan(EVERY_ANSWER_MS, samples), []);
      await assertSharesAgain(fleet, "after-kill");
      // A line for each change of state, and not one for each request. A starved machine may cause changes of its own.
      for (const replica of fleet.replicas) {
        const lines = isrdLines(replica, lengths.get(replica) ?? 0);
        assert.ok(lines.length <= MAX_LINES, lines.join("\n"));
        if (topology === "redis" && replica === fleet.b) continue;
        assert.match(lines[0] ?? "", /unavailable/, lines.join("\n"));
        assert.match(lines.at(-1) ?? "", /connected/, lines.join("\n"));
      }
    });
  });
}

async function sessionsOf(fleet: Fleet): Promise<number> {
  return (await fleet.daemonOf(fleet.a).metrics()).sum("isrd_server_sessions");
}

describe("Redis hangs under load (SIGSTOP): two replicas on a daemon each", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await warmed("redis");
  });
  after(() => fleet?.stop());

  test("every request is answered 200 and soon, and sharing goes on when Redis does", async (t) => {
    const load = new Load({ replicas: fleet.replicas, clients: CLIENTS, next: mixed });
    await load.more(200, PHASE_TIMEOUT_MS);
    const hung = load.now;
    fleet.redis.hang();
    await load.more(1000, PHASE_TIMEOUT_MS);
    const resumed = load.now;
    fleet.redis.goOn();
    await load.more(200, PHASE_TIMEOUT_MS);
    const samples = await load.stop();

    const during = samples.filter(({ at }) => at > hung && at < resumed);
    const hot = during.filter(({ path }) => path.includes("hot"));
    const cold = during.filter(({ path }) => path.includes("cold"));
    const figures = [hot, cold].map((part) => `p99 ${percentile(0.99, part).toFixed(0)} ms of ${part.length}`);
    t.diagnostic(`while Redis hung for ${(resumed - hung).toFixed(0)} ms: hot ${figures[0]}, cold ${figures[1]}`);
    assert.deepEqual(failuresIn(samples), []);
    assert.deepEqual(slowerThan(EVERY_ANSWER_MS, samples), []);
    await assertSharesAgain(fleet, "after-hang");
  });
});
