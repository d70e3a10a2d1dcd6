import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { FakeDaemon } from "./support/fake-daemon.js";
import { type Served, serveGrpc, socketDirectory } from "./support/grpc-daemon.js";
import { fakeBuild } from "./support/host.js";
import { runScript } from "./support/process.js";
import { until } from "./support/until.js";

/** The built package, as NODE_OPTIONS would have it. `npm test` builds it first. */
const REGISTER = new URL("../dist/register.js", import.meta.url).href;

describe("isrd/register", () => {
  const directory = socketDirectory();
  const build = fakeBuild("b1");
  const daemon = new FakeDaemon();
  let served: Served;
  let env: NodeJS.ProcessEnv;
  // What stands for the module of Next.js that starts a server.
  const next = join(directory.path, "node_modules", "next", "dist", "server", "lib");

  before(async () => {
    served = await serveGrpc(daemon, `unix:${directory.path}/isrd.sock`);
    mkdirSync(next, { recursive: true });
    writeFileSync(join(next, "start-server.js"), "");
    const NODE_OPTIONS = `--import ${REGISTER}`;
    env = {
      ISRD_ADDRESS: served.address,
      ISRD_ORDINAL: "0",
      NODE_OPTIONS,
      ROOT: join(build.serverDistDir, "..", ".."),
    };
  });
  after(() => {
    served.stop();
    directory.remove();
    build.remove();
  });
  beforeEach(() => {
    daemon.received.length = 0;
  });

  const loadNext = `
    const { createRequire } = await import("node:module");
    createRequire(${JSON.stringify(pathToFileURL(join(next, "x.js")).href)})("./start-server.js");
    process.chdir(process.env.ROOT);`;
  const serve = `
    const { createServer } = await import("node:http");
    const server = createServer((request, response) => response.end(request.url)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));`;

  test("a server of Next.js is connected before anybody has asked, does its jobs, and ends as without", async () => {
    const child = runScript(
      `${loadNext}${serve} console.log("up"); process.once("SIGUSR2", () => server.close());
      process.stdin.resume(); setTimeout(() => server.close(), 10_000).unref();`,
      env,
    );
    await until("it has said hello", () => daemon.frames("hello").length === 1, 10_000);
    const [hello] = daemon.frames("hello");
    assert.deepEqual(
      [hello?.app, hello?.build?.buildId, hello?.worker?.concurrency, hello?.worker?.ordinal],
      ["shop", "b1", 2, 0],
    );
    daemon.handOver({ jobId: "j1", path: "/a", deadlineMs: 8000 });
    await until("the job is answered", () => daemon.frames("jobResult").length === 1, 8000);
    assert.deepEqual(
      daemon.frames("jobResult").map(({ jobId, httpStatus, error }) => [jobId, httpStatus, error]),
      [["j1", 200, ""]],
    );
    child.signal("SIGUSR2");
    const { code, output } = await child;
    assert.equal(code, 0, output);
    assert.match(output, /up/);
  });

  for (const [what, script, more] of [
    ["a server that is not of Next.js", serve, {}],
    ["a script", "process.chdir(process.env.ROOT);", {}],
    ["next build", `${loadNext}${serve}`, { NEXT_PHASE: "phase-production-build" }],
    ["next dev", `${loadNext}${serve}`, { NODE_ENV: "development" }],
    ["a worker of jest", `${loadNext}${serve}`, { JEST_WORKER_ID: "1" }],
    ["a server without a build", `${loadNext} process.chdir("/");${serve}`, {}],
  ] as const) {
    test(`does nothing in ${what}`, async () => {
      const state = `
        await new Promise((resolve) => setTimeout(resolve, 300));
        const { status } = await import("isrd");
        console.log(status().state);
        globalThis.server?.close();
        if (typeof server !== "undefined") server.close();`;
      // isrd is resolved before the directory is changed.
      const { code, output } = await runScript(
        `${script}${state.replace('"isrd"', JSON.stringify(REGISTER.replace("register", "index")))}`,
        {
          ...env,
          ...more,
        },
      );
      assert.deepEqual([code, output], [0, "idle\n"]);
      assert.deepEqual(daemon.frames("hello"), []);
    });
  }
});
