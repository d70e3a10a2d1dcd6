import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { configFrom, DEFAULT_CONFIG } from "../src/config.js";
import { createLog } from "../src/log.js";
import { VERSION } from "../src/version.js";
import { memoryLog } from "./support/host.js";

test("an empty environment gives the defaults", () => {
  const log = memoryLog();
  assert.deepEqual(configFrom({}, log), DEFAULT_CONFIG);
  assert.deepEqual(log.lines, []);
});

test("settings are read, and each that cannot be understood is named once", () => {
  const log = memoryLog();
  const env = {
    ISRD_TIMEOUT_MS: "50",
    ISRD_FALLBACK_BYTES: "0",
    ISRD_NEAR_CACHE_BYTES: "1000",
    ISRD_TOKEN: "s3cret",
    ISRD_APP: " shop ",
    ISRD_BUILD_SCOPE: "app",
    ISRD_FETCH_SCOPE: "build",
    ISRD_LOG: "debug",
    ISRD_WORKER_CONCURRENCY: "0",
    ISRD_ROLE: " dedicated ",
  };
  assert.deepEqual(configFrom(env, log), {
    ...DEFAULT_CONFIG,
    ...{ timeoutMs: 50, fallbackBytes: 0, nearCacheBytes: 1000, token: "s3cret", app: "shop", logLevel: "debug" },
    ...{ buildScope: "app", fetchScope: "build" },
    ...{ workerConcurrency: 0, role: "dedicated" },
  });
  assert.deepEqual(log.lines, []);

  for (const text of ["0", "-1", "1.5", "2s", "NaN", "1e99"]) {
    const complaints = memoryLog();
    assert.equal(configFrom({ ISRD_TIMEOUT_MS: text }, complaints).timeoutMs, DEFAULT_CONFIG.timeoutMs);
    assert.match(complaints.lines.join(), new RegExp(`^warn ISRD_TIMEOUT_MS is "${text}": expected a whole number`));
  }
  assert.equal(configFrom({ ISRD_FETCH_SCOPE: "page" }, log).fetchScope, "app");
  assert.match(log.lines.join(), /ISRD_FETCH_SCOPE is "page": expected build or app; using app/);
  configFrom({ ISRD_LOG: "loud" }, log);
  assert.match(log.lines.join(), /ISRD_LOG is "loud": expected silent, info or debug/);
});

test("the log has a prefix, levels, and says a seldom thing once a minute", () => {
  const lines: string[] = [];
  const output = { info: (line: string) => lines.push(`i ${line}`), warn: (line: string) => lines.push(`w ${line}`) };
  const log = createLog("info", output as never);
  log.info("a");
  log.debug("b");
  log.warnSeldom("t", "c");
  log.warnSeldom("t", "c");
  log.warnSeldom("u", "d");
  createLog("silent", output as never).warn("e");
  createLog("debug", output as never).debug("f");
  assert.deepEqual(lines, ["i isrd: a", "w isrd: c", "w isrd: d", "i isrd: f"]);
});

test("the version is that of the package", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.equal(VERSION, version);
});
