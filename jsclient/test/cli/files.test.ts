// What is on disk before, after, and when something is wrong.
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { inject, isrd, type Project, project, summaryOf, temporaryFolder, VERSIONS, writeOutput } from "./support.js";

function text(file: string): string {
  return readFileSync(file, "utf8");
}

function restore(app: Project) {
  return isrd(["inject-routes", "--restore"], { cwd: app.folder });
}

for (const version of VERSIONS) {
  test(`${version}: a second run changes no byte, and --restore brings back every one`, async (t) => {
    const app = project(t, version);
    const before = text(app.manifestFile);
    const { ino } = statSync(app.manifestFile);
    await inject(app, ["/blog/new", "/pb/new"]);
    const after = text(app.manifestFile);
    assert.notEqual(after, before);
    assert.notEqual(statSync(app.manifestFile).ino, ino, "it is another file: nobody reads half of it");
    assert.equal(text(`${app.manifestFile}.isrd-backup`), before);
    const { mtimeMs } = statSync(app.manifestFile);
    const again = await inject(app, ["/pb/new", "/blog/new"], "--output", "json");
    assert.deepEqual([summaryOf(again).unchanged, summaryOf(again).written, again.code], [2, false, 0]);
    assert.equal(text(app.manifestFile), after);
    assert.equal(statSync(app.manifestFile).mtimeMs, mtimeMs, "it was not even written");
    assert.equal((await restore(app)).code, 0);
    assert.equal(text(app.manifestFile), before);
    assert.deepEqual(
      readdirSync(path.dirname(app.manifestFile)).filter((name) => /isrd/.test(name)),
      [],
      "nothing is left",
    );
  });
}

test("a later run adds, and may change the lifetime of what an earlier one has written", async (t) => {
  const app = project(t, "next15");
  const before = text(app.manifestFile);
  await inject(app, ["/blog/a", "/blog/b"]);
  const outcome = await inject(app, ["/blog/b", "/blog/c"], "--revalidate", "60", "--output", "json");
  const { added, changed } = summaryOf(outcome);
  assert.deepEqual([added, changed], [1, 1]);
  const { routes } = app.manifest();
  assert.deepEqual(
    ["/blog/a", "/blog/b", "/blog/c", "/blog/one"].map((name) => routes[name]?.initialRevalidateSeconds),
    [3600, 60, 60, 3600],
  );
  await restore(app);
  assert.equal(text(app.manifestFile), before);
});

test("--dry-run says what would be done", async (t) => {
  const app = project(t, "next15");
  const before = text(app.manifestFile);
  const outcome = await inject(app, ["/blog/a", "/ssr/1"], "--dry-run");
  assert.match(outcome.out, /^would add 1, would change 0$/m);
  assert.match(outcome.out, /^nothing was written \(--dry-run\)$/m);
  assert.equal(outcome.code, 0);
  assert.equal(text(app.manifestFile), before);
  assert.ok(!existsSync(`${app.manifestFile}.isrd-backup`));
});

test("the summary counts, and gives examples that a terminal can show", async (t) => {
  const app = project(t, "next15");
  const urls = [
    "/blog/a",
    "/blog/one",
    "/ssr/1",
    "/ssr/2",
    "/ssr/3",
    "/ssr/4",
    "/nowhere/\u001b[31m",
    `/nowhere/${"x".repeat(500)}`,
  ];
  const { out } = await inject(app, urls);
  assert.match(out, /^added 1, changed 0\nalready there 1 \(1 prerendered by the build\)\n/);
  assert.match(out, /^refused 4: .*: \/ssr\/1, \/ssr\/2, \/ssr\/3, …$/m);
  assert.match(out, /^written: .*prerender-manifest.json$/m);
  assert.ok(!out.includes("\u001b") && !out.includes("x".repeat(200)));
});

test("the copies of a standalone output are written too, wherever the project lies in them", async (t) => {
  const app = project(t, "next15");
  const copy = path.join(app.folder, ".next", "standalone", "apps", "shop", ".next");
  writeOutput(copy, "next15");
  mkdirSync(path.join(app.folder, ".next", "standalone", "node_modules", "x", ".next"), { recursive: true });
  writeFileSync(
    path.join(app.folder, ".next", "standalone", "node_modules", "x", ".next", "prerender-manifest.json"),
    "{}",
  );
  const before = text(app.manifestFile);
  const outcome = await inject(app, ["/blog/new"], "--output", "json");
  assert.equal(summaryOf(outcome).files.length, 2, outcome.err);
  const copied = path.join(copy, "prerender-manifest.json");
  assert.equal(text(copied), text(app.manifestFile));
  assert.equal(text(`${copied}.isrd-backup`), before);
  await restore(app);
  assert.equal(text(copied), before);
});

test("a copy of another build is an error, before anything is written", async (t) => {
  const app = project(t, "next15");
  writeOutput(path.join(app.folder, ".next", "standalone", ".next"), "next16");
  const outcome = await inject(app, ["/blog/new"]);
  assert.equal(outcome.code, 1);
  assert.match(outcome.err, /standalone.*is of another build/);
  assert.ok(!existsSync(`${app.manifestFile}.isrd-backup`));
});

test("the backup of an earlier build is not taken for this one's", async (t) => {
  const app = project(t, "next15");
  await inject(app, ["/blog/new"]);
  writeOutput(path.join(app.folder, ".next"), "next16"); // a build that has left the backup where it was
  const before = text(app.manifestFile);
  const refused = await restore(app);
  assert.deepEqual([refused.code, text(app.manifestFile)], [1, before]);
  assert.match(refused.err, /is of another build/);
  await inject(app, ["/blog/new"]);
  assert.equal(text(`${app.manifestFile}.isrd-backup`), before);
});

test("permissions stay, and a link is followed", async (t) => {
  const app = project(t, "next15");
  const real = path.join(app.folder, "real.json");
  writeFileSync(real, text(app.manifestFile));
  chmodSync(real, 0o664);
  rmSync(app.manifestFile);
  symlinkSync(real, app.manifestFile);
  await inject(app, ["/blog/new"]);
  assert.ok(app.manifest().routes["/blog/new"]);
  assert.equal(statSync(real).mode & 0o777, 0o664);
  assert.equal(text(real), text(app.manifestFile));
});

test("--dir takes the project or its output", async (t) => {
  const app = project(t, "next15");
  for (const dir of [app.folder, path.join(app.folder, ".next")]) {
    const outcome = await isrd(["inject-routes", "--list", "-", "--dir", dir], { stdin: "/blog/new" });
    assert.equal(outcome.code, 0, outcome.err);
  }
});

test("an indented manifest stays indented", async (t) => {
  const app = project(t, "next15");
  writeFileSync(app.manifestFile, JSON.stringify(app.manifest(), null, 2));
  await inject(app, ["/blog/new"]);
  assert.equal(text(app.manifestFile), JSON.stringify(app.manifest(), null, 2));
});

describe("a build that is none", () => {
  const cases: [string, (app: Project) => void, RegExp][] = [
    [
      "no .next",
      ({ folder }) => rmSync(path.join(folder, ".next"), { recursive: true }),
      /has no .next: run `next build` first/,
    ],
    [
      "no manifest",
      ({ manifestFile }) => rmSync(manifestFile),
      /.next has no prerender-manifest.json: run `next build` first/,
    ],
    [
      "no JSON",
      ({ manifestFile }) => writeFileSync(manifestFile, "{"),
      /prerender-manifest.json is not JSON .*: run `next build` again/,
    ],
    ["no object", ({ manifestFile }) => writeFileSync(manifestFile, "[]"), /is not a JSON object/],
    ["no routes", ({ manifestFile }) => writeFileSync(manifestFile, "{}"), /not a prerender manifest that isrd knows/],
    ["no BUILD_ID", ({ folder }) => rmSync(path.join(folder, ".next", "BUILD_ID")), /is not complete: .*BUILD_ID/],
    [
      "no routes manifest",
      ({ folder }) => rmSync(path.join(folder, ".next", "routes-manifest.json")),
      /is not complete: .*routes-manifest/,
    ],
    ["nothing to restore", () => {}, /has no backup/],
  ];
  for (const [what, spoil, message] of cases) {
    test(what, async (t) => {
      const app = project(t, "next15");
      spoil(app);
      const outcome = what === "nothing to restore" ? await restore(app) : await inject(app, ["/blog/new"]);
      assert.deepEqual([outcome.code, outcome.out], [1, ""]);
      assert.match(outcome.err, message);
      assert.equal(outcome.err.split("\n").length, 1, outcome.err);
    });
  }

  test("a folder that may not be written", { skip: process.getuid?.() === 0 && "root may" }, async (t) => {
    const app = project(t, "next15");
    chmodSync(path.dirname(app.manifestFile), 0o555);
    const outcome = await inject(app, ["/blog/new"]);
    chmodSync(path.dirname(app.manifestFile), 0o755);
    assert.match(outcome.err, /cannot be written/);
  });
});

test("many URLs take seconds, and memory in proportion to what is written", { timeout: 60_000 }, async (t) => {
  const app = project(t, "next15");
  const file = path.join(temporaryFolder(t), "urls.txt");
  writeFileSync(file, Array.from({ length: 20_000 }, (_, n) => `/blog/product-${n}`).join("\n"));
  const outcome = await isrd(["inject-routes", "--list", file, "--output", "json"], { cwd: app.folder });
  assert.equal(summaryOf(outcome).added, 20_000);
});
