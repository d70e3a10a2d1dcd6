import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findRouting, leavesHost, type Routing, toRequestPath } from "../src/next/routing.js";

const PLAIN: Routing = {
  buildId: "b1",
  basePath: "",
  trailingSlash: false,
  locales: [],
  defaultLocale: "",
  shells: [],
  rewrites: undefined,
};
const SHELLS = [/^\/f\/([^/]+?)(?:\/)?$/];
const EVERYTHING = [/^(?:\/(.+?))?(?:\/)?$/];
const I18N = { locales: ["en", "de-CH"], defaultLocale: "en" };

const CASES: [what: string, routing: Partial<Routing>, path: string, requested: string][] = [
  ["a path as it is", {}, "/a/b", "/a/b"],
  ["the root", {}, "/", "/"],
  ["a slash that Next.js would redirect", {}, "/a/", "/a"],
  ["what a browser encodes", {}, '/a/ü b/"<{', "/a/%C3%BC%20b/%22%3C%7B"],
  ["what is encoded already", {}, "/a/%C3%BC%2Fb%23%3F", "/a/%C3%BC%2Fb%23%3F"],
  ["a per cent sign by itself", {}, "/a/100%", "/a/100%25"],
  ["what a browser leaves alone", {}, "/a/@b,c;d=e+f&g'(h)", "/a/@b,c;d=e+f&g'(h)"],
  ["a base path", { basePath: "/docs" }, "/a", "/docs/a"],
  ["the root below a base path", { basePath: "/docs" }, "/", "/docs"],
  ["trailing slashes", { trailingSlash: true }, "/a", "/a/"],
  ["trailing slashes at the root", { trailingSlash: true }, "/", "/"],
  ["trailing slashes at the root below a base path", { trailingSlash: true, basePath: "/docs" }, "/", "/docs/"],
  ["trailing slashes, but for files", { trailingSlash: true }, "/feed.xml", "/feed.xml"],
  ["a page with a shell, by its data", { shells: SHELLS }, "/f/x", "/_next/data/b1/f/x.json"],
  [
    "its data with a base path",
    { shells: SHELLS, basePath: "/docs", trailingSlash: true },
    "/f/x",
    "/docs/_next/data/b1/f/x.json",
  ],
  ["the root with a shell", { shells: EVERYTHING }, "/", "/_next/data/b1/index.json"],
  ["the root with a shell in the default language", { shells: EVERYTHING, ...I18N }, "/", "/_next/data/b1/en.json"],
  ["the root with a shell in another language", { shells: EVERYTHING, ...I18N }, "/de-CH", "/_next/data/b1/de-CH.json"],
  ["its data in the default language", { shells: SHELLS, ...I18N }, "/f/x", "/_next/data/b1/en/f/x.json"],
  ["its data in another language", { shells: SHELLS, ...I18N }, "/de-CH/f/x", "/_next/data/b1/de-CH/f/x.json"],
  ["a language in lower case", { shells: SHELLS, ...I18N }, "/de-ch/f/x", "/_next/data/b1/de-CH/f/x.json"],
  ["a page without a shell in another language", { shells: SHELLS, ...I18N }, "/de-CH/a", "/de-CH/a"],
  ["what only begins like a page with a shell", { shells: SHELLS }, "/f/x/y", "/f/x/y"],
];

for (const [what, routing, path, requested] of CASES) {
  test(`how a path is requested: ${what}`, () => {
    assert.equal(toRequestPath(path, { ...PLAIN, ...routing }), requested);
  });
}

test("the routing is read from the build's output", (t) => {
  const distDir = mkdtempSync(join(tmpdir(), "isrd-dist-"));
  t.after(() => rmSync(distDir, { recursive: true, force: true }));
  const write = (name: string, value: unknown): void => writeFileSync(join(distDir, name), JSON.stringify(value));
  assert.deepEqual(findRouting(distDir, "b1"), PLAIN);
  assert.deepEqual(findRouting(undefined, "b1"), PLAIN);
  const i18n = { locales: ["en", "de"], defaultLocale: "en" };
  write("required-server-files.json", { config: { basePath: "/docs", trailingSlash: true, i18n } });
  const route = {
    routeRegex: "^/f/([^/]+?)(?:/)?$",
    dataRoute: "/_next/data/b1/f/[id].json",
    fallback: "/f/[id].html",
  };
  write("prerender-manifest.json", {
    dynamicRoutes: {
      "/f/[id]": route,
      "/blocking/[id]": { ...route, fallback: null },
      "/closed/[id]": { ...route, fallback: false },
      "/app/[id]": { ...route, dataRoute: "/app/[id].rsc" },
      "/broken/[id]": { ...route, routeRegex: "(" },
    },
  });
  const { shells, rewrites, ...rest } = findRouting(distDir, "b1");
  assert.deepEqual(rest, {
    buildId: "b1",
    basePath: "/docs",
    trailingSlash: true,
    locales: ["en", "de"],
    defaultLocale: "en",
  });
  assert.equal(rewrites, undefined);
  assert.deepEqual(shells, [/^\/f\/([^/]+?)(?:\/)?$/]);
});

/** As Next.js 16.4 writes them, for `rewrites()` of these sources. */
const ELSEWHERE = "https://old.example/:path*";
const BELOW = "(?:/((?:[^/]+?)(?:/(?:[^/]+?))*))?(?:/)?$";
const ROUTES = {
  rewrites: {
    beforeFiles: [
      { source: "/before/:path*", destination: ELSEWHERE, regex: `^/before${BELOW}` },
      { source: "/:path*", destination: ELSEWHERE, regex: `^${BELOW}`, has: [{ type: "cookie", key: "old" }] },
      { source: "/:path*", destination: ELSEWHERE, regex: `^${BELOW}`, has: [{ type: "host", value: "old.example" }] },
      { source: "/:path*", destination: ELSEWHERE, regex: `^${BELOW}`, has: [{ type: "header", key: "x-old" }] },
      { source: "/own/:path*", destination: "/:path*", regex: `^/own${BELOW}` },
      {
        source: "/perhaps/:path*",
        destination: "/p/1",
        regex: `^/perhaps${BELOW}`,
        has: [{ type: "header", key: "x-forwarded-host" }],
      },
    ],
    afterFiles: [
      { source: "/a/:path*", destination: ELSEWHERE, regex: `^/a${BELOW}` },
      { source: "/alias/:id(\\d+)", destination: "/p/:id?from=alias", regex: "^/alias(?:/(\\d+))(?:/)?$" },
      { source: "/odd/(.*)", destination: "/p/:0", regex: "^/odd(?:/(.*))(?:/)?$" },
    ],
    fallback: [{ source: "/:path*", destination: ELSEWHERE, regex: `^${BELOW}` }],
  },
  staticRoutes: [
    { page: "/", regex: "^/(?:/)?$" },
    { page: "/a/page", regex: "^/a/page(?:/)?$" },
  ],
  dynamicRoutes: [
    { page: "/p/[id]", regex: "^/p/([^/]+?)(?:/)?$" },
    { page: "/closed/[id]", regex: "^/closed/([^/]+?)(?:/)?$" },
  ],
};
const PRERENDERED = {
  routes: { "/": {}, "/closed/1": {}, "/closed/\u00fc": {} },
  dynamicRoutes: { "/p/[id]": { fallback: null }, "/closed/[id]": { fallback: false } },
};

test("a path is known that Next.js may pass on to another host", (t) => {
  const distDir = mkdtempSync(join(tmpdir(), "isrd-dist-"));
  t.after(() => rmSync(distDir, { recursive: true, force: true }));
  const write = (name: string, value: unknown): void => writeFileSync(join(distDir, name), JSON.stringify(value));
  write("routes-manifest.json", ROUTES);
  write("prerender-manifest.json", PRERENDERED);
  const routing = findRouting(distDir, "b1");
  const inside = [
    "/",
    "/a/page",
    "/p/1",
    "/p/ü",
    "/closed/1",
    "/closed/%C3%BC",
    "/closed/ü",
    "/own",
    "/own/p/1",
    "/alias/7",
  ];
  const outside = [
    "/before",
    "/before/x",
    "/BEFORE/x",
    "/a/x",
    "/a/page/x",
    "/nothing",
    "/p/1/2",
    "/closed/2",
    "/own/a/x", // by way of another rewrite
    "/own/nothing",
    "/perhaps/x",
    "/alias/seven",
    "/odd/x",
    "/_next/data/b1/x.json",
  ];
  for (const path of inside) assert.equal(leavesHost(path, routing), false, path);
  for (const path of outside) assert.equal(leavesHost(path, routing), true, path);
  // As they are written with a basePath, or for languages.
  const at = (regex: string): Routing => {
    write("routes-manifest.json", { rewrites: [{ source: "", destination: ELSEWHERE, regex }] });
    return { ...findRouting(distDir, "b1"), basePath: "/docs", locales: ["en", "de"], defaultLocale: "en" };
  };
  assert.equal(leavesHost("/x", at(`^/docs/x${BELOW}`)), true);
  assert.equal(leavesHost("/x", at(`^(?:/(en|de))/x${BELOW}`)), true);
  assert.equal(leavesHost("/de/x", at(`^/docs(?:/(en|de))/x${BELOW}`)), true);
  assert.equal(leavesHost("/y", at(`^/docs(?:/(en|de))/x${BELOW}`)), false);
  assert.equal(leavesHost("/x", at("(")), true);
  write("routes-manifest.json", { ...ROUTES, rewrites: [{ destination: "/:path*", regex: `^${BELOW}` }] });
  assert.equal(findRouting(distDir, "b1").rewrites, undefined);
});
