// What becomes of a job: every kind of page, and every end without a page.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Fleet } from "../harness/fleet.ts";
import { registerFile } from "../harness/next.ts";
import { type Job, Queue } from "../harness/queue.ts";

const TIMEOUT_MS = 20_000;

describe("jobs on a worker that nobody visits", () => {
  let fleet: Fleet;
  let queue: Queue;

  before(async () => {
    // One process with the address of its daemon, and isrd/register: no request comes to it but by jobs.
    fleet = await Fleet.start({
      topology: "embedded",
      replicas: 1,
      env: { NODE_OPTIONS: `--import ${registerFile()}`, ISRD_ROLE: "dedicated", ISRD_ORDINAL: "0" },
      flags: ["--worker", "dedicated", "--max-entry-bytes", "2MiB"],
    });
    queue = new Queue(fleet.daemons[0] as never);
  });
  after(async () => {
    queue?.close();
    await fleet?.stop();
  });

  const run = async (path: string, options: { onlyIfCached?: boolean } = {}): Promise<Job> => {
    const [job] = await queue.ended(await queue.enqueue([path], options), TIMEOUT_MS);
    assert.ok(job);
    return job;
  };
  const assertWritten = async (path: string, status = 200): Promise<void> => {
    const job = await run(path);
    assert.deepEqual(
      [job.outcome, job.httpStatus, job.attempt],
      ["JOB_OUTCOME_WRITTEN", status, 1],
      JSON.stringify(job),
    );
  };

  for (const path of ["/a/job", "/p/job", "/r/job", "/short/job"]) {
    test(`${path} is rendered, once, before anybody has asked, and served from the cache`, async () => {
      await assertWritten(path);
      const renders = fleet.origin.renders(path);
      const reply = await fleet.a.request(path);
      assert.equal(reply.cache, "HIT");
      assert.equal(fleet.origin.renders(path), renders);
    });
  }

  test("a page with fallback: true is really rendered, and not its shell", async () => {
    await assertWritten("/f/job");
    assert.equal(fleet.origin.renders("/f/job"), 1);
    assert.match((await fleet.a.request("/f/job")).text, /render=/);
    fleet.origin.bump("job");
    await assertWritten("/f/job");
    assert.equal((await fleet.a.request("/f/job")).marker?.version, 2);
  });

  test("a page that is not found, and one that redirects, are written as such", async () => {
    for (const path of ["/a/missing-1", "/p/missing-1", "/f/missing-1"]) await assertWritten(path, 404);
    const moved = await run("/p/moved-1");
    assert.equal(moved.outcome, "JOB_OUTCOME_WRITTEN", JSON.stringify(moved));
  });

  test("a path without any page is not found; an API route is none", async () => {
    const job = await run("/nowhere/at/all");
    assert.deepEqual([job.outcome, job.httpStatus], ["JOB_OUTCOME_NOT_FOUND", 404], JSON.stringify(job));
    const data = await run("/data/x");
    assert.equal(data.outcome, "JOB_OUTCOME_NO_WRITE", JSON.stringify(data));
  });

  test("only if cached: what is not is left alone, what is is rendered", async () => {
    for (const path of ["/a/cold", "/p/cold", "/f/cold", "/r/cold"]) {
      const job = await run(path, { onlyIfCached: true });
      assert.equal(job.outcome, "JOB_OUTCOME_NOT_CACHED", JSON.stringify(job));
      assert.equal(fleet.origin.renders(path), 0, path);
    }
    for (const path of ["/a/job", "/p/job", "/f/job", "/r/job"]) {
      const job = await run(path, { onlyIfCached: true });
      assert.equal(job.outcome, "JOB_OUTCOME_WRITTEN", JSON.stringify(job));
    }
  });

  test("paths in every script are rendered as a browser's request would have them", async () => {
    for (const path of ["/a/größe 1", "/a/%E6%A3%9A", "/p/größe", "/f/größe 2", "/a/100%25"]) {
      await assertWritten(path);
      const reply = await fleet.a.request(encodeURI(decodeURI(path)));
      assert.equal(reply.cache, "HIT", path);
    }
  });

  test("a route handler of the app queues, waits, and is told the end; what is wrong is said", async () => {
    const ask = async (request: object) => {
      const headers = { "content-type": "application/json" };
      const reply = await fleet.a.request("/api/queue", { method: "POST", headers, body: JSON.stringify(request) });
      return JSON.parse(reply.text);
    };
    const { everywhere, jobs } = await ask({ paths: ["/a/asked"], tags: ["data:asked"], wait: true });
    assert.equal(everywhere, true);
    assert.deepEqual(
      jobs.map(({ path, state, outcome }: Record<string, unknown>) => [path, state, outcome]),
      [["/a/asked", "done", "written"]],
    );
    assert.equal((await fleet.a.request("/a/asked")).cache, "HIT");
    const { code, message } = await ask({ paths: ["//elsewhere.example/x"] });
    assert.equal(code, "refused");
    assert.match(message, /one slash/);
  });

  test("a page that is larger than the daemon takes is rendered once, and said to be too large", async () => {
    const job = await run("/r/3000k-job");
    assert.deepEqual([job.outcome, job.attempt], ["JOB_OUTCOME_TOO_LARGE", 1], JSON.stringify(job));
    assert.match(job.reason, /--max-entry-bytes: it has \d+ bytes, and the daemon takes 2097152/);
  });

  test("a render that fails is tried again", async () => {
    const latch = fleet.origin.hold("/renders/a/once");
    const [id = ""] = await queue.enqueue(["/a/once"]);
    await latch.arrived(1);
    latch.fail();
    const [done] = await queue.ended([id], TIMEOUT_MS);
    assert.deepEqual([done?.outcome, done?.attempt], ["JOB_OUTCOME_WRITTEN", 2]);
  });
});
