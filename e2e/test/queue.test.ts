// Content changes, and somebody is to show it: four replicas that serve, two daemons, one Redis, and two workers that serve
// nobody. E2E_LONG=1, which `make e2e` has, makes it a thousand pages.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { assertNewEverywhere, markerOf } from "../harness/ask.ts";
import { Fleet } from "../harness/fleet.ts";
import { HttpClient } from "../harness/http.ts";
import { failuresIn, Load, percentile } from "../harness/load.ts";
import { registerFile } from "../harness/next.ts";
import { Queue } from "../harness/queue.ts";
import { Replica } from "../harness/replica.ts";
import { eventually, within } from "../harness/wait.ts";

const LONG = process.env["E2E_LONG"] === "1";
const PAGES = LONG ? 1000 : 100;
/** The queue's `Settle`: the least time between two claims of a path. */
const SETTLE_MS = 1500;

const TIMEOUT_MS = LONG ? 240_000 : 20_000;
const WEBHOOKS = 50;
const WRITTEN = "JOB_OUTCOME_WRITTEN";
const JSON_BODY = { "content-type": "application/json" };
const SECRET = "the secret of the webhooks in e2e";

/** The headers of docs/revalidation.md, *Signatures*. */
function signed(body: string): Record<string, string> {
  const time = Math.floor(Date.now() / 1000);
  const delivery = randomUUID();
  const signature = createHmac("sha256", SECRET).update(`${time}.${delivery}.${body}`).digest("hex");
  return {
    "x-isrd-timestamp": String(time),
    "x-isrd-delivery": delivery,
    "x-isrd-signature": `sha256=${signature}`,
  };
}

function anyOf<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T;
}

describe("the queue", () => {
  let fleet: Fleet;
  let queue: Queue;
  const workers: Replica[] = [];
  let endpoints: HttpClient[] = [];
  let broken: string[];

  before(async () => {
    const webhooks = ["--webhook-listen", "127.0.0.1:0", "--webhook-secret", SECRET];
    const flags = ["--worker", "dedicated", ...webhooks];
    fleet = await Fleet.start({ topology: "redis", replicas: 4, durable: true, flags });
    for (const [index, daemon] of fleet.daemons.entries()) {
      const env = { NODE_OPTIONS: `--import ${registerFile()}`, ISRD_ROLE: "dedicated", ISRD_TIMEOUT_MS: "2000" };
      const { address } = daemon;
      const name = `queue-worker-${index}`;
      workers.push(await Replica.start({ name, app: "plain", address, originUrl: fleet.origin.url, env }));
    }
    endpoints = await Promise.all(fleet.daemons.map(async (daemon) => new HttpClient(await daemon.webhooks())));
    queue = new Queue(fleet.daemons[0] as never);
    await queue.ended(await queue.enqueue(["/a/1k-warm"]), TIMEOUT_MS); // the workers are there
    broken = await queue.enqueue(["/a/broken-1"]); // it is tried while everything else goes on
  });
  after(async () => {
    queue?.close();
    for (const endpoint of endpoints) endpoint.close();
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

  /** Takes a webhook, and names its jobs. */
  type Taker = (body: string) => Promise<string[]>;

  /** A route handler of the app, at any replica. */
  const atReplicas: Taker = async (body) => {
    const reply = await anyOf(fleet.replicas).request("/api/queue", { method: "POST", headers: JSON_BODY, body });
    assert.equal(reply.status, 200, reply.text);
    return (JSON.parse(reply.text) as { jobs: { id: string }[] }).jobs.map(({ id }) => id);
  };

  /** The HTTP endpoint of any daemon. */
  const atDaemons: Taker = async (body) => {
    const headers = { ...JSON_BODY, ...signed(body) };
    const reply = await anyOf(endpoints).request("/revalidate/plain", { method: "POST", headers, body });
    assert.equal(reply.status, 202, reply.text);
    return (JSON.parse(reply.text) as { job_ids: string[] }).job_ids;
  };

  /**
   * So many webhooks within a second. Ends when all their jobs are done: the page was rendered once or twice, the last time
   * after the last webhook.
   */
  const storm = async (path: string, change: { paths: string[]; tags?: string[] }, taker = atReplicas) => {
    const before = fleet.origin.renders(path);
    const body = JSON.stringify(change);
    let lastSentAt = 0;
    const began = performance.now();
    const taken = Array.from({ length: WEBHOOKS }, async (_, number) => {
      await new Promise((resolve) => setTimeout(resolve, (number * 900) / WEBHOOKS));
      lastSentAt = performance.now();
      return taker(body);
    });
    const ids = new Set((await Promise.all(taken)).flat());
    const sending = performance.now() - began;
    await assertAllWritten([...ids]);
    const took = performance.now() - began;
    const renders = fleet.origin.renders(path) - before;
    console.log(`${WEBHOOKS} × ${body}: ${ids.size} jobs, ${renders} renders, all done after ${took.toFixed(0)} ms`);
    const last = fleet.origin.begunAt(markerOf(await fleet.a.request(path)).render);
    assert.ok(last > lastSentAt, `the last render began ${(lastSentAt - last).toFixed(0)} ms before the last webhook`);
    // A slow machine may need longer than a second; between two renders for the same job there is SETTLE_MS.
    assert.ok(renders >= 1 && renders <= 2 + Math.floor(sending / SETTLE_MS), `${renders} renders`);
  };

  test("fifty identical webhooks: one render or two, the last of which begins after the last webhook", async () => {
    await fleet.a.request("/a/1k-hook");
    const version = fleet.origin.bump("1k-hook");
    await storm("/a/1k-hook", { paths: ["/a/1k-hook"] });
    await assertNewEverywhere(fleet.replicas, "/a/1k-hook", version);
  });

  test("fifty, signed, at the HTTP endpoint of any daemon: the same; one that is not signed does nothing", async () => {
    await fleet.a.request("/a/1k-signed");
    const version = fleet.origin.bump("1k-signed");
    await storm("/a/1k-signed", { paths: ["/a/1k-signed"] }, atDaemons);
    await assertNewEverywhere(fleet.replicas, "/a/1k-signed", version);
    const body = JSON.stringify({ paths: ["/a/1k-unsigned"] });
    const headers = { ...JSON_BODY, ...signed(body.replace("unsigned", "signed")) };
    const reply = await anyOf(endpoints).request("/revalidate/plain", { method: "POST", headers, body });
    assert.equal(reply.status, 401, reply.text);
    assert.equal(fleet.origin.renders("/a/1k-unsigned"), 0);
  });

  test("fifty that revalidate a tag of the page too, each of which refuses what was rendered before it: the same", async () => {
    await fleet.a.request("/a/1k-tagged");
    const version = fleet.origin.bump("1k-tagged");
    await storm("/a/1k-tagged", { paths: ["/a/1k-tagged"], tags: ["data:1k-tagged"] });
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
