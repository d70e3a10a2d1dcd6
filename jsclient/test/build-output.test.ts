import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import fs from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { BuildOutput } from "../src/next/build-output.js";

const BUILT = new Date("2026-01-02T03:04:05Z");
const PAGES = { kind: "PAGES", isFallback: false };
const load = createRequire(import.meta.url);

/** The build output of an app with the given files, and what Next.js hands to a handler for it. */
function build(t: TestContext, files: Record<string, unknown>) {
  const dist = mkdtempSync(join(tmpdir(), "isrd-dist-"));
  t.after(() => rmSync(dist, { recursive: true, force: true }));
  for (const [name, content] of Object.entries({ BUILD_ID: "b1", ...files })) {
    const file = join(dist, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    utimesSync(file, BUILT, BUILT);
  }
  const host = { fs: { existsSync, readFileSync, ...fs }, serverDistDir: join(dist, "server"), revalidatedTags: [] };
  return { output: new BuildOutput(load, dist), host, dist };
}

const manifest = {
  routes: { "/blog/a": { initialRevalidateSeconds: 60, initialExpireSeconds: 600, srcRoute: "/blog/[slug]" } },
  dynamicRoutes: { "/blog/[slug]": { fallback: false } },
  notFoundRoutes: ["/blog/gone"],
};

const page = { "server/pages/blog/a.html": "<p>a</p>", "server/pages/blog/a.json": {}, "server/pages/blog/a.meta": {} };

describe("what next build has rendered", () => {
  test("is found with its time, its lifetime, and whether its route is closed", async (t) => {
    const { output, host } = build(t, { "prerender-manifest.json": manifest, ...page });
    const seed = await output.seedOf("/blog/a", PAGES, host);
    assert.ok(seed?.value && "html" in seed.value);
    assert.equal(seed.value.html, "<p>a</p>");
    assert.equal(seed.builtAtMs, BUILT.getTime());
    assert.deepEqual(seed.cacheControl, { revalidate: 60, expire: 600 });
    assert.equal(seed.closed, true);
  });

  test("a copy of a file does not make the build younger", async (t) => {
    const { output, host, dist } = build(t, { "prerender-manifest.json": manifest, ...page });
    utimesSync(join(dist, "server/pages/blog/a.html"), new Date(), new Date());
    assert.equal((await output.seedOf("/blog/a", PAGES, host))?.builtAtMs, BUILT.getTime());
  });

  test("a path that the build did not find is a seed too", async (t) => {
    const { output, host } = build(t, { "prerender-manifest.json": manifest });
    assert.deepEqual(await output.seedOf("/blog/gone", PAGES, host), {
      ...{ value: null, builtAtMs: BUILT.getTime(), cacheControl: { revalidate: 1 }, outdated: false, closed: false },
    });
  });

  test("what it has not is not there, and is not looked for again; what it should have is", async (t) => {
    const { output, host, dist } = build(t, { "prerender-manifest.json": { ...manifest, routes: {} } });
    const other = build(t, { "prerender-manifest.json": manifest });
    assert.equal(await other.output.seedOf("/blog/a", PAGES, other.host), undefined);
    for (const [name, content] of Object.entries(page)) {
      mkdirSync(dirname(join(other.dist, name)), { recursive: true });
      writeFileSync(join(other.dist, name), typeof content === "string" ? content : "{}");
    }
    assert.ok(await other.output.seedOf("/blog/a", PAGES, other.host), "it could not be read for a moment");
    assert.equal(await output.seedOf("/blog/a", PAGES, host), undefined);
    for (const [name, content] of Object.entries(page)) {
      mkdirSync(dirname(join(dist, name)), { recursive: true });
      writeFileSync(join(dist, name), typeof content === "string" ? content : "{}");
    }
    assert.equal(await output.seedOf("/blog/a", PAGES, host), undefined);
    assert.ok(await output.seedOf("/blog/a", { ...PAGES, isFallback: true }, host), "another variant of the key is");
  });

  for (const [name, files] of Object.entries({
    "no manifest": {},
    "a manifest that is none": { "prerender-manifest.json": "{" },
  })) {
    test(`${name}: nobody knows what was built, and when`, async (t) => {
      const { output, host } = build(t, { ...files, ...page });
      assert.equal(await output.seedOf("/blog/a", PAGES, host), undefined);
    });
  }

  test("an image without times is older than whatever was revalidated", async (t) => {
    const { output, host, dist } = build(t, { "prerender-manifest.json": manifest, ...page });
    for (const name of ["BUILD_ID", ...Object.keys(page)]) utimesSync(join(dist, name), 0, 0);
    assert.equal((await output.seedOf("/blog/a", PAGES, host))?.builtAtMs, 1);
  });

  test("what was refused is outdated for a while", async (t) => {
    const { output, host } = build(t, { "prerender-manifest.json": manifest, ...page });
    output.refused("/blog/a", PAGES);
    assert.equal((await output.seedOf("/blog/a", PAGES, host))?.outdated, true);
    assert.equal((await output.seedOf("/blog/gone", PAGES, host))?.outdated, false);
  });

  test("a Next.js that has no such file cache has rendered nothing", async (t) => {
    const { dist, host } = build(t, { "prerender-manifest.json": manifest, ...page });
    const output = new BuildOutput(() => {
      throw new Error("gone");
    }, dist);
    assert.equal(await output.seedOf("/blog/a", PAGES, host), undefined);
    assert.equal(await new BuildOutput(load, undefined).seedOf("/blog/a", PAGES, {}), undefined);
  });
});
