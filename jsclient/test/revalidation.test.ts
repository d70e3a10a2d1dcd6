import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type EnqueueRequest,
  EnqueueRequestSchema,
  EnqueueResponseSchema,
  Priority,
} from "../src/gen/isrd/v1/revalidation_pb.js";
import { IsrdError, revalidate, revalidatePath, revalidateTag } from "../src/index.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { type Served, serveGrpc, socketDirectory } from "./support/grpc-daemon.js";
import { runScript } from "./support/process.js";
import { startRealDaemon } from "./support/real-daemon.js";

/** For a script outside of Next.js; this process has no session. */
function settings(env: Record<string, string>): () => void {
  const before = { ...process.env };
  Object.assign(process.env, { ISRD_APP: "shop", ISRD_LOG: "silent", ...env });
  return () => {
    process.env = before;
  };
}

describe("what is asked of the daemon", () => {
  const directory = socketDirectory();
  const daemon = new FakeDaemon();
  const requests: EnqueueRequest[] = [];
  let served: Served;
  let restore: () => void;
  let fleetWide = true;

  before(async () => {
    served = await serveGrpc(daemon, `unix:${directory.path}/isrd.sock`);
    daemon.services = (method, bytes) => {
      assert.equal(method, "/isrd.v1.RevalidationService/Enqueue");
      const request = fromBinary(EnqueueRequestSchema, bytes);
      requests.push(request);
      const jobs = request.paths.map((path, i) => ({
        jobId: `j${i}`,
        path,
        build: { buildId: "b1" },
        collapsed: i > 0,
      }));
      const revalidated = request.tags.length > 0 ? { fleetWide } : undefined;
      const response = create(EnqueueResponseSchema, { jobs, ...(revalidated ? { revalidated } : {}) });
      return toBinary(EnqueueResponseSchema, response);
    };
    restore = settings({ ISRD_ADDRESS: served.address });
  });
  after(() => {
    restore();
    served.stop();
    directory.remove();
  });

  const asked = async (call: () => Promise<unknown>) => {
    requests.length = 0;
    await call();
    const [request, ...others] = requests;
    assert.equal(others.length, 0);
    return {
      app: request?.app,
      paths: request?.paths,
      tags: request?.tags.map(({ tag, expireSeconds }) => (expireSeconds === undefined ? tag : [tag, expireSeconds])),
      priority: request?.priority,
      cached: request?.onlyIfCached,
    };
  };

  test("revalidate: paths and tags, and how", async () => {
    const usual = { app: "shop", priority: Priority.INTERACTIVE, cached: false };
    assert.deepEqual(await asked(() => revalidate({ paths: ["/a", "/b"] })), {
      ...usual,
      paths: ["/a", "/b"],
      tags: [],
    });
    const all = {
      paths: ["/a"],
      tags: ["x", { tag: "y", expire: 60 }, { tag: "z" }],
      priority: "bulk",
      onlyIfCached: true,
    } as const;
    const tags = ["x", ["y", 60], "z"];
    const wanted = { app: "shop", paths: ["/a"], tags, priority: Priority.BULK, cached: true };
    assert.deepEqual(await asked(() => revalidate(all)), wanted);
    const { jobs, everywhere } = await revalidate({ paths: ["/a", "/b"] });
    assert.equal(everywhere, true);
    assert.deepEqual(jobs, [
      { id: "j0", path: "/a", buildId: "b1", collapsed: false, state: "queued" },
      { id: "j1", path: "/b", buildId: "b1", collapsed: true, state: "queued" },
    ]);
    requests.length = 0;
    assert.deepEqual(await revalidate({}), { everywhere: true, jobs: [] });
    assert.equal(requests.length, 0);
  });

  test("revalidateTag: marks, and nothing else", async () => {
    assert.deepEqual((await asked(() => revalidateTag("x"))).tags, ["x"]);
    assert.deepEqual((await asked(() => revalidateTag(["x", "y"], { expire: 0.5 }))).tags, [
      ["x", 1],
      ["y", 1],
    ]);
    assert.deepEqual((await asked(() => revalidateTag(["x"]))).paths, []);
    fleetWide = false;
    await assert.rejects(revalidateTag("x"), { code: "unavailable", message: /only this node/ });
    assert.equal((await revalidate({ tags: ["x"] })).everywhere, false);
    fleetWide = true;
  });

  test("revalidatePath: the path's tag in every spelling, and a job; of a pattern only the tag", async () => {
    const of = async (...args: Parameters<typeof revalidatePath>) => {
      const { paths, tags } = await asked(() => revalidatePath(...args));
      return [paths, tags];
    };
    assert.deepEqual(await of("/a/b/"), [["/a/b/"], ["_N_T_/a/b"]]);
    assert.deepEqual(await of("/"), [["/"], ["_N_T_/", "_N_T_/index"]]);
    assert.deepEqual(await of("/ü"), [["/ü"], ["_N_T_/ü", "_N_T_/%C3%BC"]]);
    assert.deepEqual(await of("/a%2Fb"), [["/a%2Fb"], ["_N_T_/a%2Fb"]]);
    assert.deepEqual(await of("/%C3%BC"), [["/%C3%BC"], ["_N_T_/%C3%BC", "_N_T_/ü"]]);
    assert.deepEqual(await of("/a", { regenerate: false }), [[], ["_N_T_/a"]]);
    assert.deepEqual(await of("/a/[id]", "page"), [[], ["_N_T_/a/[id]/page"]]);
    assert.deepEqual(await of("/", "layout"), [[], ["_N_T_/layout"]]);
  });
});

test("without a daemon it fails at once, and says why", async () => {
  const restore = settings({ ISRD_ADDRESS: "unix:/nowhere/isrd.sock" });
  try {
    await assert.rejects(revalidate({ paths: ["/a"] }), (error) => {
      assert.ok(error instanceof IsrdError);
      assert.equal(error.code, "unavailable");
      assert.match(error.message, /there is no socket at unix:\/nowhere\/isrd.sock/);
      return true;
    });
  } finally {
    restore();
  }
});

describe("the real daemon", () => {
  test("a script enqueues, is told of what is wrong, waits no longer than it said, and ends", async () => {
    const daemon = await startRealDaemon();
    try {
      const script = `
        import { revalidate, revalidateTag } from "isrd";
        await revalidateTag("products");
        const first = await revalidate({ paths: ["/a"], tags: ["x"] });
        const again = await revalidate({ paths: ["/a"] });
        console.log(first.everywhere, first.jobs[0].state, again.jobs[0].collapsed, again.jobs[0].id === first.jobs[0].id);
        for (const request of [{ paths: ["a"] }, { paths: ["/a"], wait: 300 }]) {
          await revalidate(request).catch(({ name, code, message }) => console.log(name, code, message));
        }`;
      const { code, output } = await runScript(script, { ISRD_ADDRESS: daemon.address, ISRD_APP: "shop" });
      assert.equal(code, 0, output);
      assert.match(
        output,
        /^true queued true true\nRefusedError refused .*must begin with one slash.*\nIsrdError timeout 1 of 1 jobs have not ended in 300 ms\n$/,
      );
    } finally {
      await daemon.stop();
    }
  });
});
