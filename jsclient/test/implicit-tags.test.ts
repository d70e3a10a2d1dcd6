import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findPagesRoutes, implicitTagsOf, isOfPagesRouter } from "../src/next/implicit-tags.js";
import type { HostValue } from "../src/next/values.js";
import { appPage, pagesPage, route } from "./support/values.js";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const scoped = (pattern: string, path: string): string => `/route-cache/PAGES/${sha256(pattern)}/$${path}`;

const ROUTES = {
  patterns: ["/", "/about", "/blog/[slug]", "/[...all]"].map((pattern) => ({
    pattern,
    source: sha256(pattern),
    regex: pattern === "/blog/[slug]" ? /^\/blog\/([^/]+?)(?:\/)?$/ : undefined,
  })),
  locales: ["en", "fr"],
};

describe("the tags by which revalidatePath reaches a page of the Pages Router", () => {
  const rows: [name: string, key: string, tags: string[]][] = [
    ["a path without parameters", "/about", ["/about", "/layout", "/about/layout", "/about/page"]],
    [
      "a path of a pattern",
      "/blog/x",
      ["/blog/x", "/layout", "/blog/layout", "/blog/[slug]/layout", "/blog/[slug]/page"],
    ],
    ["the same by a scoped key", scoped("/blog/[slug]", "/blog/x"), ["/blog/x", "/blog/[slug]/page", "/layout"]],
    ["the first page", "/index", ["/", "/index", "/layout", "/page"]],
    ["a locale's", "/fr/blog/x", ["/fr/blog/x", "/blog/x", "/blog/[slug]/page"]],
    ["a locale's first page", "/fr", ["/fr", "/", "/index", "/page"]],
    ["a decoded path", "/blog/a b日", ["/blog/a b日", "/blog/a%20b%E6%97%A5", "/blog/a b%E6%97%A5"]],
    ["a path that nobody knows", "/nowhere/x", ["/nowhere/x"]],
  ];
  for (const [name, key, tags] of rows) {
    test(name, () => {
      const found = implicitTagsOf(key, ROUTES);
      for (const tag of tags) assert.ok(found.includes(`_N_T_${tag}`), `${tag} is not among ${found.join(" ")}`);
      assert.equal(new Set(found).size, found.length);
    });
  }

  test("a path has no tag of another's pattern", () => {
    const found = implicitTagsOf(scoped("/blog/[slug]", "/about"), ROUTES);
    assert.ok(!found.includes("_N_T_/about/page"));
  });

  test("half a character is no reason to fail", () => {
    assert.ok(implicitTagsOf("/blog/\ud800", ROUTES).includes("_N_T_/blog/\ud800"));
  });

  test("only entries of the Pages Router need them", () => {
    const old: HostValue = { kind: "PAGE", html: "", pageData: {}, headers: {}, postponed: undefined, status: 200 };
    const rows: [HostValue | null, boolean][] = [
      [null, true],
      [pagesPage("x"), true],
      [old, true],
      [{ ...old, pageData: "flight" }, false],
      [appPage("x"), false],
      [route("x"), false],
    ];
    for (const [value, expected] of rows) assert.equal(isOfPagesRouter(value), expected, JSON.stringify(value));
  });

  test("the pages are read from the build; what is not there has none", (t) => {
    const dist = mkdtempSync(join(tmpdir(), "isrd-dist-"));
    t.after(() => rmSync(dist, { recursive: true }));
    assert.deepEqual(findPagesRoutes(dist), { patterns: [], locales: [] });
    assert.deepEqual(findPagesRoutes(undefined), { patterns: [], locales: [] });
    mkdirSync(join(dist, "server"));
    writeFileSync(join(dist, "server", "pages-manifest.json"), JSON.stringify({ "/p/[id]": "pages/p/[id].js" }));
    const dynamicRoutes = [{ page: "/p/[id]", regex: "^/p/([^/]+?)(?:/)?$" }];
    writeFileSync(join(dist, "routes-manifest.json"), JSON.stringify({ dynamicRoutes, i18n: { locales: ["de"] } }));
    const routes = findPagesRoutes(dist);
    assert.ok(implicitTagsOf("/de/p/1", routes).includes("_N_T_/p/[id]/page"));
  });

  test("of several patterns that fit, the one counts that Next.js matches first", (t) => {
    const dist = mkdtempSync(join(tmpdir(), "isrd-dist-"));
    t.after(() => rmSync(dist, { recursive: true }));
    mkdirSync(join(dist, "server"));
    const pages = Object.fromEntries(["/[...all]", "/blog/[...rest]", "/blog/[slug]"].map((page) => [page, "x"]));
    writeFileSync(join(dist, "server", "pages-manifest.json"), JSON.stringify(pages));
    const dynamicRoutes = [
      { page: "/blog/[slug]", regex: "^/blog/([^/]+?)(?:/)?$" },
      { page: "/blog/[...rest]", regex: "^/blog/(.+?)(?:/)?$" },
      { page: "/[...all]", regex: "^/(.+?)(?:/)?$" },
    ];
    writeFileSync(join(dist, "routes-manifest.json"), JSON.stringify({ dynamicRoutes }));
    const tags = implicitTagsOf("/blog/a", findPagesRoutes(dist));
    assert.ok(tags.includes("_N_T_/blog/[slug]/page") && !tags.includes("_N_T_/[...all]/page"), tags.join(" "));
  });
});
