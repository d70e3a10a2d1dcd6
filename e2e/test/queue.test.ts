// Content changes, and somebody is to show it: four replicas that serve, two daemons, one Redis, and two workers that serve
// nobody. E2E_LONG=1 makes it a thousand pages.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertNewEverywhere, markerOf } from "../harness/ask.ts";
import { Fleet } from "../harness/fleet.ts";
import { failuresIn, Load, percentile } from "../harness/load.ts";
import { registerFile, since } from "../harness/next.ts";
import { Queue } from "../harness/queue.ts";
import { Replica } from "../harness/replica.ts";
import { eventually, within } from "../harness/wait.ts";

const LONG = process.env["E2E_LONG"] === "1";
const PAGES = LONG ? 1000 : 100;
const TIMEOUT_MS = LONG ? 240_000 : 20_000;
const WEBHOOKS = 50;
const WRITTEN = "JOB_OUTCOME_WRITTEN";

describe("the queue", { skip: !LONG && !since("next16") && "E2E_LONG=1 runs it on every version" }, () => {
  let fleet: Fleet;
  let queue: Queue;
  const workers: Replica[] = [];
  let broken: string[];

  before(async () => {
    const flags = ["--worker", "dedicated"];
    fleet = await Fleet.start({ topology: "redis", replicas: 4, durable: true, flags });
    for (const [index, daemon] of fleet.daemons.entries()) {
      const env = { NODE_OPTIONS: `--import ${registerFile()}`, ISRD_ROLE: "dedicated", ISRD_TIMEOUT_MS: "2000" };
      const { address } = daemon;
      const name = `queue-worker-${index}`;
      workers.push(await Replica.start({ name, app: "plain", address, originUrl: fleet.origin.url, env }));
    }
    queue = new Queue(fleet.daemons[0] as never);
    await queue.ended(await queue.enqueue(["/a/1k-warm"]), TIMEOUT_MS); // the workers are there
    broken = await queue.enqueue(["/a/broken-1"]); // it is tried while everything else goes on
  });
  after(async () => {
    queue?.close();
    await Promise.all(workers.map((worker) => worker.close()));
    await fleet?.stop();
  });

  const paths = (name: string, count: number) => Array.from({ length: count }, (_, i) => `/a/1k-${name}-${i}`);
  const assertBegun = (page: string): void => {
    // Without a message of its own assert.ok reads the source to make one, and in what tsx has made of it that may not end.
    assert.ok(fleet.origin.renders(page) > 0, `no render of ${page} has begun`);
  };
  const assertAllWritten = async (ids: readonly string[]) => {
    const jobs = await queue.ended(ids, TIMEOUT_MS);
    const other = jobs.filter(({ outcome }) => outcome !== WRITTEN);
    assert.deepEqual(other, []);
  };

  /** So many webhooks at any replicas within a second; returns when the last was sent, and the renders of the page. */
  const storm = async (path: string, change: { paths: string[]; tags?: string[] }) => {
    const before = fleet.origin.renders(path);
    const body = JSON.stringify(change);
    const headers = { "content-type": "application/json" };
    let lastSentAt = 0;
    const began = performance.now();
    const replies = Array.from({ length: WEBHOOKS }, async (_, number) => {
      await new Promise((resolve) => setTimeout(resolve, (number * 900) / WEBHOOKS));
      const replica = fleet.replicas[Math.floor(Math.random() * 4)] as Replica;
      lastSentAt = performance.now();
      return replica.request("/api/queue", { method: "POST", headers, body });
    });
    const ids = new Set<string>();
    for (const reply of await Promise.all(replies)) {
      assert.equal(reply.status, 200, reply.text);
      const { jobs } = JSON.parse(reply.text) as { jobs: { id: string }[] };
      for (const { id } of jobs) ids.add(id);
    }
    await assertAllWritten([...ids]);
    const took = performance.now() - began;
    const renders = fleet.origin.renders(path) - before;
    console.log(`${WEBHOOKS} × ${body}: ${ids.size} jobs, ${renders} renders, all done after ${took.toFixed(0)} ms`);
    const last = fleet.origin.begunAt(markerOf(await fleet.a.request(path)).render);
    assert.ok(last > lastSentAt, `the last render began ${(lastSentAt - last).toFixed(0)} ms before the last webhook`);
    return renders;
  };

  test("fifty identical webhooks: one render or two, the last of which begins after the last webhook", async () => {
    await fleet.a.request("/a/1k-hook");
    const version = fleet.origin.bump("1k-hook");
    const renders = await storm("/a/1k-hook", { paths: ["/a/1k-hook"] });
    assert.ok(renders === 1 || renders === 2, `${renders} renders`);
    await assertNewEverywhere(fleet.replicas, "/a/1k-hook", version);
  });

  test("fifty that revalidate a tag of the page too, each of which refuses what was rendered before it: the same", async () => {
    await fleet.a.request("/a/1k-tagged");
    const version = fleet.origin.bump("1k-tagged");
    const renders = await storm("/a/1k-tagged", { paths: ["/a/1k-tagged"], tags: ["data:1k-tagged"] });
    assert.ok(renders === 1 || renders === 2, `${renders} renders`);
    await assertNewEverywhere(fleet.replicas, "/a/1k-tagged", version);
  });

  test(`${PAGES} pages: each is rendered exactly once, and visitors hardly notice`, async () => {
    const warm = paths("visited", 8);
    await assertAllWritten(await queue.enqueue(warm));
    const load = new Load({ replicas: fleet.replicas, clients: 4, next: (number) => warm[number % 8] as string });
    await load.more(PAGES * 4, TIMEOUT_MS);
    const from = load.now;
    const pages = paths("bulk", PAGES);
    await assertAllWritten(await queue.enqueue(pages, { priority: "PRIORITY_BULK" }));
    const to = load.now;
    const samples = await load.stop();
    assert.deepEqual(failuresIn(samples), []);
    assert.deepEqual(
      pages.filter((page) => fleet.origin.renders(page) !== 1),
      [],
    );
    const [quiet, busy] = [
      percentile(
        0.99,
        samples.filter(({ at, ms }) => at + ms < from),
      ),
      percentile(
        0.99,
        samples.filter(({ at, ms }) => at + ms >= from && at < to),
      ),
    ];
    const ratio = busy / quiet;
    const rate = (PAGES * 1000) / (to - from);
    console.log(
      `${PAGES} pages at ${rate.toFixed(0)}/s; visitors' p99: ${quiet.toFixed(1)} ms before, ${busy.toFixed(1)} ms meanwhile (× ${ratio.toFixed(2)})`,
    );
    assert.ok(busy < 1000, "they share two cores with all that is rendered, but wait for none of it");
  });

  test("a worker that is killed in the middle: every job is done", async () => {
    const pages = paths("killed", PAGES / 2);
    const latch = fleet.origin.hold(`/renders${pages[0]}`);
    const ids = await queue.enqueue(pages);
    await within(latch.arrived(1), TIMEOUT_MS, "the first page is being rendered");
    await eventually("some are done", TIMEOUT_MS, () => assertBegun(pages[9] as string));
    const killed = workers[0] as Replica;
    await killed.kill();
    latch.release();
    await assertAllWritten(ids);
    for (const page of pages) assert.ok(fleet.origin.renders(page) <= 2, page);
    await killed.start();
  });

  test("Redis that is killed in the middle and comes back: no job is lost", async () => {
    const pages = paths("redis", PAGES / 2);
    const ids = await queue.enqueue(pages);
    await eventually("some are done", TIMEOUT_MS, () => assertBegun(pages[4] as string));
    await fleet.redis.kill();
    const early = pages.filter((page) => fleet.origin.renders(page) > 0).length;
    assert.ok(early < pages.length, "it was in the middle");
    await fleet.redis.again();
    await assertAllWritten(ids);
    console.log(`Redis was killed when ${early} of ${pages.length} pages had been begun`);
  });

  test("a page that can never be rendered has ended among the dead, and has held nobody up", async () => {
    const [job] = await queue.ended(broken, TIMEOUT_MS);
    assert.deepEqual([job?.state, job?.attempt, job?.httpStatus], ["JOB_STATE_DEAD", 5, 500], JSON.stringify(job));
    assert.ok(
      (await queue.dead()).some(({ jobId, reason }) => jobId === broken[0] && reason !== ""),
      "it is listed",
    );
  });
});
