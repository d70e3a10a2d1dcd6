import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { keepsUseCacheToItself } from "../src/next/unshared.js";
import { createRuntime } from "../src/runtime.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { fakeBuild, memoryLog } from "./support/host.js";
import { dialMemory } from "./support/memory-transport.js";

const ours = { default: "isrd/cache-handlers" };

test("'use cache' without a handler is kept by each process for itself", (t) => {
  const build = fakeBuild("b");
  t.after(build.remove);
  const distDir = dirname(build.serverDistDir);
  const configured = (config: unknown, env: NodeJS.ProcessEnv = {}): boolean => {
    writeFileSync(join(distDir, "required-server-files.json"), JSON.stringify({ config }));
    return keepsUseCacheToItself(distDir, env);
  };
  assert.equal(keepsUseCacheToItself(distDir, {}), false, "nothing is known");
  assert.equal(configured({ cacheComponents: false, cacheHandlers: {}, experimental: { useCache: false } }), false);
  assert.equal(configured({ cacheComponents: true, cacheHandlers: ours, experimental: { useCache: true } }), false);
  assert.equal(configured({ experimental: { useCache: true, cacheHandlers: ours } }), false, "15.5");
  assert.equal(configured({ cacheComponents: true }, { NEXT_DEFAULT_CACHE_HANDLER_PATH: "x" }), false);
  assert.equal(configured({ cacheComponents: true, cacheHandlers: { remote: "x" } }), true);
  assert.equal(configured({ experimental: { useCache: true } }), true);

  const log = memoryLog();
  const env = { ISRD_ADDRESS: "unix:/x.sock" };
  const options = { env, dial: dialMemory(new FakeDaemon()).dial, log, load: () => ({}) };
  createRuntime({ serverDistDir: build.serverDistDir, ...options });
  assert.equal(log.lines.filter((line) => /^warn .*isrd\/cache-handlers/.test(line)).length, 1);
});
