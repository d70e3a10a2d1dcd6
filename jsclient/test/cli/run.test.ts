import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { VERSION } from "../../src/version.js";
import { isrd } from "./support.js";

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

test("--help says what is here and what is the daemon's", async () => {
  const { code, out } = await isrd(["--help"]);
  assert.equal(code, 0);
  assert.match(out, /inject-routes/);
  assert.match(out, /daemon .*`isrd serve`/);
});

test("--version is the package's", async () => {
  assert.deepEqual(await isrd(["--version"]), { code: 0, out: VERSION, err: "" });
});

test("without a command the help is written, and the exit says that nothing was done", async () => {
  const { code, out } = await isrd([]);
  assert.equal(code, 2);
  assert.match(out, /Usage/);
});

test("an unknown command is one line and exit 2", async () => {
  const { code, out, err } = await isrd(["inject"]);
  assert.deepEqual({ code, out }, { code: 2, out: "" });
  assert.match(err, /^isrd: there is no command "inject": there is inject-routes .*$/);
});

test("a command of the daemon is named as one", async () => {
  for (const command of ["serve", "health"]) {
    const { code, err } = await isrd([command]);
    assert.equal(code, 2);
    assert.match(err, /command of the daemon, the Go program/);
  }
});

test("the package's bin runs, and loads neither gRPC nor an XML parser before they are needed", () => {
  const { bin } = JSON.parse(readFileSync(`${PACKAGE}/package.json`, "utf8"));
  const atExit = `import m from "node:module"; process.on("exit", () => console.log(Object.keys(m._cache).join()));`;
  const preload = `data:text/javascript,${encodeURIComponent(atExit)}`;
  const run = (...args: string[]) => {
    const command = ["--import", preload, `${PACKAGE}/${bin.isrd}`, ...args];
    const { stdout, stderr, status } = spawnSync(process.execPath, command, { encoding: "utf8" });
    return { stdout, stderr, status };
  };
  assert.deepEqual(run("--version"), { stdout: `${VERSION}\n\n`, stderr: "", status: 0 });
  const { stdout } = run("inject-routes", "--help");
  assert.match(stdout, /sax\.js/, "what is loaded is seen");
  assert.doesNotMatch(stdout, /grpc/);
});
