import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { SessionRequestSchema } from "../src/gen/isrd/v1/cache_pb.js";
import { Handler } from "../src/handler.js";
import { OwnServer } from "../src/own-server.js";
import { createRuntime, type Runtime } from "../src/runtime.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { fakeBuild, memoryLog, PREVIEW_ID } from "./support/host.js";
import { dialMemory } from "./support/memory-transport.js";
import { until } from "./support/until.js";

const PAGE = { kind: "APP_ROUTE", isFallback: false } as const;
const JOB = { jobId: "j", path: "/a b", onlyIfCached: false, deadlineMs: 5000 };

/** A process with a server that stands for Next.js, a session with a fake daemon, and the handler between them. */
describe("jobs of a daemon", () => {
  const build = fakeBuild("b1");
  const env = {
    ISRD_ADDRESS: "unix:/nowhere.sock",
    ISRD_ROLE: "dedicated",
    ISRD_ORDINAL: "4",
    ISRD_WORKER_CONCURRENCY: "2",
  };
  const requests: IncomingMessage[] = [];
  let answer: RequestListener;
  let http: Server;
  let daemon: FakeDaemon;
  let runtime: Runtime;
  let peer: ReturnType<typeof dialMemory>["peer"];

  before(async () => {
    http = createServer((request, response) => {
      requests.push(request);
      answer(request, response);
    });
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
  });
  after(() => {
    runtime.session.close();
    http.closeAllConnections();
    http.close();
    build.remove();
  });
  beforeEach(async () => {
    runtime?.session.close();
    requests.length = 0;
    daemon = new FakeDaemon();
    const memory = dialMemory(daemon);
    peer = memory.peer;
    const server = new OwnServer({});
    server.watch();
    server.add(http);
    const load = () => ({});
    runtime = createRuntime({
      serverDistDir: build.serverDistDir,
      env,
      dial: memory.dial,
      log: memoryLog(),
      load,
      server,
    });
    answer = (_request, response) => response.setHeader("x-nextjs-cache", "REVALIDATED").end("page");
    runtime.session.connect();
    await until("it is connected", () => runtime.session.state === "ready");
  });

  const results = () => daemon.frames("jobResult");
  const hand = async (job: Partial<typeof JOB> = {}, id = 1n) => {
    daemon.handOver({ ...JOB, ...job }, id);
    const count = results().length;
    await until("there is a result", () => results().length > count);
    return results().at(-1);
  };

  test("the hello offers what the process can do", () => {
    const [hello] = daemon.frames("hello");
    assert.equal(hello?.worker?.concurrency, 2);
    assert.equal(hello?.worker?.role, "dedicated");
    assert.equal(hello?.worker?.ordinal, 4);
  });

  test("a job is a request on demand to the process's own server, and its answer the report", async () => {
    const result = await hand();
    assert.deepEqual(
      [result?.jobId, result?.httpStatus, result?.nextCache, result?.error],
      ["j", 200, "REVALIDATED", ""],
    );
    const [request] = requests;
    assert.equal(request?.method, "GET");
    assert.equal(request?.url, "/a%20b");
    assert.equal(request?.headers["x-prerender-revalidate"], PREVIEW_ID);
    assert.equal(request?.headers["x-prerender-revalidate-if-generated"], undefined);
    await hand({ onlyIfCached: true });
    assert.equal(requests[1]?.headers["x-prerender-revalidate-if-generated"], "1");
  });

  test("the secret of the build is in no frame", async () => {
    await hand();
    answer = (request, response) => request.socket.destroy(response.destroyed ? undefined : new Error(PREVIEW_ID));
    await hand();
    for (const frame of daemon.received) {
      const bytes = Buffer.from(toBinary(SessionRequestSchema, create(SessionRequestSchema, frame as never)));
      assert.ok(!bytes.includes(PREVIEW_ID), `frame ${frame.frame.case}`);
    }
  });

  test("a path that may lead to another host is not requested: that would get the secret", async (t) => {
    const manifest = join(build.serverDistDir, "..", "routes-manifest.json");
    t.after(() => rmSync(manifest));
    const rewrites = [{ destination: "https://old.example/:path*", regex: "^/old(?:/(.*))?$" }];
    writeFileSync(manifest, JSON.stringify({ rewrites }));
    const result = await hand({ path: "/old/x" });
    assert.match(result?.error ?? "", /another host/);
    assert.equal(requests.length, 0);
    assert.equal((await hand({ path: "/new" }))?.httpStatus, 200);
  });

  test("the report names the entry that the handler was asked for first, but no error page", async () => {
    answer = async (request, response) => {
      const handler = new Handler({ _requestHeaders: request.headers, serverDistDir: build.serverDistDir }, runtime);
      for (const name of ["/_not-found", "/route-cache/APP_ROUTE/x/$/real", "/other"]) await handler.get(name, PAGE);
      response.statusCode = 404;
      response.end();
    };
    const result = await hand();
    assert.equal(result?.key?.name, "/route-cache/APP_ROUTE/x/$/real");
    assert.equal(result?.httpStatus, 404);
    assert.equal(result?.nextCache, "");
  });

  test("a page that is too large for the daemon is said to be", async () => {
    runtime.session.close();
    daemon.welcome = { maxEntryBytes: 1000n };
    const value = { kind: "APP_ROUTE" as const, body: Buffer.alloc(5000), status: 200, headers: {} };
    const memory = dialMemory(daemon);
    const server = new OwnServer({});
    server.watch();
    server.add(http);
    runtime = createRuntime({
      serverDistDir: build.serverDistDir,
      env,
      dial: memory.dial,
      log: memoryLog(),
      load: () => ({}),
      server,
    });
    answer = async (request, response) => {
      const handler = new Handler({ _requestHeaders: request.headers, serverDistDir: build.serverDistDir }, runtime);
      await handler.get("/large", PAGE);
      await handler.set("/large", value, { ...PAGE, cacheControl: { revalidate: 60 } } as never);
      response.setHeader("x-nextjs-cache", "REVALIDATED").end();
    };
    runtime.session.connect();
    await until("it is connected", () => runtime.session.state === "ready");
    const result = await hand();
    assert.match(result?.error ?? "", /bytes, and the daemon takes 1000/);
    assert.equal(result?.tooLarge, true);
  });

  test("what does not answer in time is given up, and so is its request", async () => {
    let closed = false;
    answer = (request) => void request.socket.on("close", () => (closed = true));
    const result = await hand({ deadlineMs: 100 });
    assert.match(result?.error ?? "", /did not answer within 100 ms/);
    await until("the request has ended", () => closed);
  });

  test("more jobs than were offered are sent back; the process is held alive while one is under way", async () => {
    const held: (() => void)[] = [];
    answer = (_request, response) => void held.push(() => response.end());
    assert.equal(peer.alive, false);
    for (const id of [1n, 2n, 3n]) daemon.handOver({ ...JOB, jobId: `j${id}` }, id);
    await until("one is sent back", () => results().length === 1);
    assert.equal(results()[0]?.jobId, "j3");
    assert.match(results()[0]?.error ?? "", /no place/);
    await until("two are under way", () => held.length === 2);
    assert.equal(peer.alive, true);
    for (const end of held) end();
    await until("both are done", () => results().length === 3);
    assert.equal(peer.alive, false);
  });

  test("a job that is withdrawn ends with its request, and is not reported; its place is free", async () => {
    let closed = 0;
    answer = (request) => void request.socket.on("close", () => (closed += 1));
    daemon.handOver(JOB, 7n);
    await until("it is under way", () => requests.length === 1);
    daemon.withdraw(8n);
    daemon.withdraw(7n);
    await until("its request has ended", () => closed === 1);
    answer = (_request, response) => response.end();
    const result = await hand({ jobId: "next" }, 9n);
    assert.deepEqual([result?.jobId, results().length], ["next", 1]);
    assert.equal(peer.alive, false);
  });

  test("the end of the session ends its jobs", async () => {
    let closed = 0;
    answer = (request) => void request.socket.on("close", () => (closed += 1));
    daemon.handOver(JOB);
    await until("it is under way", () => requests.length === 1);
    daemon.disconnectAll();
    await until("its request has ended", () => closed === 1);
    assert.deepEqual(results(), []);
  });

  test("a report that finds the queue full is sent when there is room", async () => {
    answer = (_request, response) => {
      peer.queue = 0;
      response.end();
    };
    daemon.handOver(JOB);
    await until("it was refused", () => peer.refusals > 0);
    assert.deepEqual(results(), []);
    peer.queue = Number.POSITIVE_INFINITY;
    await until("there is a result", () => results().length === 1);
  });
});

test("a process without a place, without a server or without the secret offers nothing", async () => {
  const build = fakeBuild("b1");
  const daemon = new FakeDaemon();
  const { dial } = dialMemory(daemon);
  const log = memoryLog();
  for (const env of [{ ISRD_WORKER_CONCURRENCY: "0" }, {}]) {
    const options = { env: { ISRD_ADDRESS: "unix:/x.sock", ...env }, dial, log, load: () => ({}) };
    const { session } = createRuntime({ serverDistDir: build.serverDistDir, ...options });
    session.connect();
    await until("it is connected", () => session.state === "ready");
    session.close();
  }
  build.remove();
  assert.deepEqual(
    daemon.frames("hello").map(({ worker }) => worker),
    [undefined, undefined],
  );
});
