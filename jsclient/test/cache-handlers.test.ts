import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { FakeDaemon } from "./support/fake-daemon.js";
import { type Served, serveGrpc, socketDirectory } from "./support/grpc-daemon.js";
import { runScript } from "./support/process.js";

/** The built package, as an app would load it. `npm test` builds it first. */
const HANDLERS = `
  import handlers from "isrd/cache-handlers";
  import { status } from "isrd";
  const entry = (text) => ({
    value: new Response(text).body, tags: ["t"], stale: 1, revalidate: 60, expire: 600,
    timestamp: performance.timeOrigin + performance.now(),
  });
  const read = async () => { const got = await handlers.get("k", ["soft"]); return got && new Response(got.value).text(); };
`;

const ALL_CALLS = `${HANDLERS}
  const log = [await read(), await handlers.set("k", Promise.resolve(entry("x"))), await read()];
  log.push(await handlers.refreshTags(), await handlers.getExpiration(["a"]), await handlers.getExpiration("a", "b"));
  log.push(await handlers.updateTags(["t"], { expire: 60 }), await handlers.expireTags("t", "u"), await read());
  console.log(log.join(), status().state);
`;

describe("isrd/cache-handlers", () => {
  const directory = socketDirectory();
  const daemon = new FakeDaemon();
  let served: Served;
  before(async () => {
    served = await serveGrpc(daemon, `unix:${directory.path}/isrd.sock`);
  });
  after(() => {
    served.stop();
    directory.remove();
  });

  test("both shapes of calls, of 15.5 and of 16; the process ends by itself", async () => {
    const { code, output } = await runScript(ALL_CALLS, {
      ISRD_ADDRESS: served.address,
      ISRD_APP: "a",
      ISRD_TIMEOUT_MS: "5000",
    });
    assert.equal(code, 0, output);
    assert.match(output, /^,,x,,-1,-1,,, ready$/m);
    const marked = daemon.frames("revalidate").map(({ revalidations }) => revalidations.map(({ tag }) => tag).join());
    assert.deepEqual(marked, ["t", "t,u"]);
  });

  for (const [where, env] of [
    ["next build", { NEXT_PHASE: "phase-production-build" }],
    ["next dev", { NODE_ENV: "development" }],
    ["the edge runtime", { NEXT_RUNTIME: "edge" }],
  ] as const) {
    test(`in ${where} nothing is kept, said or connected to`, async () => {
      const before = daemon.received.length;
      const { code, output } = await runScript(ALL_CALLS, { ISRD_ADDRESS: served.address, ...env });
      assert.equal(code, 0, output);
      assert.equal(output, ",,,,-1,-1,,, idle\n");
      assert.equal(daemon.received.length, before);
    });
  }

  test("without a daemon everything is a miss or this process's own, and nothing rejects", async () => {
    const { code, output } = await runScript(ALL_CALLS, { ISRD_ADDRESS: "unix:/nowhere.sock", ISRD_LOG: "silent" });
    assert.equal(code, 0, output);
    assert.match(output, /^,,x,,-1,-1,,, away$/m);
  });

  test("require.resolve, require and import find the same, as Next.js takes it", async () => {
    const require = createRequire(import.meta.url);
    assert.match(require.resolve("isrd/cache-handlers"), /cache-handlers\.js$/);
    const script = `
      import { createRequire } from "node:module";
      const imported = (await import("isrd/cache-handlers")).default;
      const required = createRequire(process.cwd() + "/x.js")("isrd/cache-handlers").default;
      console.log(imported === required, "getExpiration" in imported, "refreshTags" in imported, imported.default);`;
    const { output } = await runScript(script);
    assert.equal(
      output.split("\n").find((line) => line.startsWith("true")),
      "true true true undefined",
    );
  });
});
