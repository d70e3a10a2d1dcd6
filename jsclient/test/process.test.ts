import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { FakeDaemon } from "./support/fake-daemon.js";
import { type Served, serveGrpc, socketDirectory } from "./support/grpc-daemon.js";
import { fakeBuild } from "./support/host.js";
import { runScript } from "./support/process.js";
import { until } from "./support/until.js";

/** The built package, as an app would load it. `npm test` builds it first. */
const HANDLER = `
  import { default as Handler } from "isrd/cache-handler";
  import { status } from "isrd";
  const serverDistDir = process.env.TEST_DIST;
  const handler = () => new Handler({ serverDistDir, _requestHeaders: {} });
  const page = { kind: "APP_ROUTE", body: Buffer.from("x"), status: 200, headers: {} };
  const ctx = { kind: "APP_ROUTE", isFallback: false, cacheControl: { revalidate: 60 } };
`;

describe("a process with the handler", () => {
  const directory = socketDirectory();
  const build = fakeBuild("b1");
  const daemon = new FakeDaemon();
  let served: Served;
  let silent: Server;
  const silentPath = `${directory.path}/silent.sock`;

  before(async () => {
    served = await serveGrpc(daemon, `unix:${directory.path}/isrd.sock`);
    silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(silentPath, resolve));
  });
  after(() => {
    served.stop();
    silent.close();
    directory.remove();
    build.remove();
  });

  test("ends by itself although the session is open", async () => {
    const script = `${HANDLER}
      await handler().get("/a", ctx);
      await handler().set("/a", page, ctx);
      const answer = await handler().get("/a", ctx);
      await handler().revalidateTag("t");
      console.log(status().state, answer.value.body.toString(), status().app, status().buildId);
      globalThis.endedAt = performance.now();
      process.on("exit", () => console.log("exit", Math.round(performance.now() - globalThis.endedAt)));`;
    const { code, output, ms } = await runScript(script, {
      ISRD_ADDRESS: served.address,
      ISRD_TIMEOUT_MS: "2000", // a process that starts beside others takes its time
      TEST_DIST: build.serverDistDir,
    });
    assert.equal(code, 0, output);
    assert.match(output, /ready x shop b1/);
    const afterwards = Number(/exit (\d+)/.exec(output)?.[1]);
    assert.ok(afterwards < 900, `it lived on for ${afterwards} ms, ${ms} ms in all`);
  });

  test("ends by itself although the session was opened anew and nobody asked since", async () => {
    const script = `${HANDLER}
      await handler().get("/b", ctx);
      console.log("asked");
      setTimeout(() => console.log(status().state), 3000);`;
    const greeted = daemon.frames("hello").length;
    const child = runScript(script, {
      ISRD_ADDRESS: served.address,
      ISRD_TIMEOUT_MS: "2000",
      TEST_DIST: build.serverDistDir,
    });
    await until("it is connected", () => daemon.frames("get").some(({ key }) => key?.name === "/b"), 10_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    daemon.disconnectAll();
    const { code, output } = await child;
    assert.equal(daemon.frames("hello").length, greeted + 2, "it has connected again");
    assert.equal(code, 0, output);
    assert.match(output, /ready\n$/);
  });

  for (const [what, address] of [
    ["nobody listens", () => `unix:${directory.path}/nobody.sock`],
    ["who listens says nothing", () => `unix:${silentPath}`],
    ["a TCP port is closed", () => "tcp://127.0.0.1:1"],
  ] as const) {
    test(`ends by itself although ${what}, and says so in one line`, async () => {
      const script = `${HANDLER}
        const startedAt = performance.now();
        const answers = [];
        for (let i = 0; i < 10; i++) answers.push(await handler().get("/a", ctx));
        await handler().set("/a", page, ctx);
        await handler().revalidateTag("t");
        console.log(answers.every((answer) => answer === null), status().state, Math.round(performance.now() - startedAt));
        globalThis.endedAt = performance.now();
        process.on("exit", () => console.log("exit", Math.round(performance.now() - globalThis.endedAt)));`;
      const { code, output } = await runScript(script, { ISRD_ADDRESS: address(), TEST_DIST: build.serverDistDir });
      assert.equal(code, 0, output);
      assert.match(output, /true away/);
      const took = Number(/away (\d+)/.exec(output)?.[1]);
      // One deadline of 200 ms. The attempt itself goes on for a second; nobody waits for it, and it holds nothing.
      assert.ok(took < 950, `the calls took ${took} ms`);
      assert.ok(Number(/exit (\d+)/.exec(output)?.[1]) < 700, output);
      assert.equal(output.match(/isrd: unavailable/g)?.length, 1, output);
    });
  }

  test("connects to nothing and keeps nothing during next build and in next dev", async () => {
    const script = `${HANDLER}
      const h = process.env.NEXT_PHASE ? handler() : new Handler({ dev: true, serverDistDir });
      console.log(await h.get("/a", ctx), await h.set("/a", page, ctx), await h.revalidateTag(["t"]), status().state);`;
    const env = { ISRD_ADDRESS: served.address, TEST_DIST: build.serverDistDir };
    for (const phase of [{ NEXT_PHASE: "phase-production-build" }, {}]) {
      const { code, output } = await runScript(script, { ...env, ...phase });
      assert.deepEqual([code, output], [0, "null undefined undefined idle\n"]);
    }
  });

  test("importing does nothing", async () => {
    const script = `
      const open = () => process.getActiveResourcesInfo().filter((name) => !/^(CloseReq|FSReq)/.test(name)); // Reading files.
      void [process.stdout, process.stderr];
      const before = open().length;
      const keys = Reflect.ownKeys(globalThis).length;
      await import("isrd/cache-handler");
      await import("isrd");
      console.log(open().length - before, Reflect.ownKeys(globalThis).length - keys);`;
    assert.deepEqual((await runScript(script)).output, "0 0\n");
  });

  test("two copies of the module share one session", async () => {
    const script = `
      const a = (await import("./dist/cache-handler.js?a")).default;
      const b = (await import("./dist/cache-handler.js?b")).default;
      const ctx = { kind: "APP_ROUTE" };
      await new a({ serverDistDir: process.env.TEST_DIST }).get("/x", ctx);
      await new b({ serverDistDir: process.env.TEST_DIST }).get("/y", ctx);
      const { status } = await import("isrd");
      console.log(a !== b, status().counters.gets);`;
    const { output } = await runScript(script, {
      ISRD_ADDRESS: served.address,
      TEST_DIST: build.serverDistDir,
      ISRD_LOG: "silent",
    });
    assert.equal(output, "true 2\n");
  });

  test("require.resolve and require find the handler, as next.config.js and Next.js do", () => {
    const require = createRequire(import.meta.url);
    assert.match(require.resolve("isrd/cache-handler"), /dist\/cache-handler\.js$/);
  });
});
