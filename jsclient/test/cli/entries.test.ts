// What is written for a path is what the build itself has written for its siblings.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { type Fixture, inject, project, refusalsOf, summaryOf, VERSIONS } from "./support.js";

/** Fields that describe a render: nothing was rendered. */
const OF_A_RENDER = ["initialHeaders", "initialStatus", "routeType", "response", "compute", "htmlSize"];

const SIBLINGS: [path: string, sibling: string][] = [
  ["/blog/new", "/blog/one"],
  ["/feed/2", "/feed/one"],
  ["/docs/a/b", "/docs/x/y"],
  ["/pb/new", "/pb/one"],
  ["/pt/new", "/pt/one"],
];

for (const version of VERSIONS) {
  describe(version, () => {
    test("an entry has the fields of the build's own, and their order", async (t) => {
      const app = project(t, version);
      const paths = SIBLINGS.map(([path]) => path);
      const outcome = await inject(app, paths, "--output", "json");
      assert.equal(summaryOf(outcome).added, paths.length, outcome.out);
      const { routes } = app.manifest();
      for (const [path, sibling] of SIBLINGS) {
        const text = JSON.stringify(routes[sibling], (key, value) => (OF_A_RENDER.includes(key) ? undefined : value));
        const expected = text.replaceAll(`${sibling}.`, `${path}.`);
        assert.equal(JSON.stringify(routes[path]), expected, path);
      }
    });

    test("names are decoded as the build decodes them", async (t) => {
      const app = project(t, version);
      const urls = [
        "/blog/a%20b%20c",
        "/blog/%E6%97%A5%E6%9C%AC",
        "/blog/本",
        "/blog/u%2fv",
        "/blog/100%25",
        "/pb/ü",
        "/docs/",
      ];
      const outcome = await inject(app, urls, "--revalidate", "60");
      assert.equal(outcome.code, 0, outcome.err);
      const { routes } = app.manifest();
      for (const name of ["/blog/a b c", "/blog/日本", "/blog/本", "/blog/u%2Fv", "/blog/100%", "/docs"]) {
        assert.equal(routes[name]?.dataRoute, `${name}.rsc`);
      }
      assert.equal(routes["/pb/ü"]?.dataRoute, "/_next/data/build/pb/ü.json");
    });

    test("what the build has rendered stays as it is, however it is spelled", async (t) => {
      const app = project(t, version);
      const before = readFileSync(app.manifestFile, "utf8");
      const urls = [
        "/blog/one",
        "/blog/a%20b",
        "/blog/日",
        "/blog/x%2fy",
        "/pb/one/",
        "/closed/one",
        "/static",
        "/blog/one",
      ];
      const outcome = await inject(app, urls, "--revalidate", "60", "--output", "json", "--strict");
      assert.deepEqual(summaryOf(outcome), {
        ...{
          written: false,
          dryRun: false,
          added: 0,
          changed: 0,
          unchanged: 0,
          prerendered: 7,
          refused: [],
          files: [],
        },
      });
      assert.equal(outcome.code, 0);
      assert.equal(readFileSync(app.manifestFile, "utf8"), before);
    });

    test("what cannot be done right is refused with its reason", async (t) => {
      const app = project(t, version);
      const bad = {
        "no-route": "/nowhere/1",
        dynamic: "/ssr/1",
        closed: "/closed/two",
        "not-found": "/pb/gone",
        query: "/blog/a?b",
        encoding: "/blog/%zz",
        traversal: "/blog/%2e%2E/x",
        origin: "https://elsewhere.example/blog/a",
        "no-path": "//elsewhere.example/blog/a",
        reserved: "/_next/data/build/blog/a.json",
      };
      const more = [
        "/rev/1",
        "/pssr/1",
        "/pnone/1",
        "/pf/two",
        "/blog/a#b",
        "/blog/%ff",
        "/blog/a\\b",
        "/blog/a%00",
        "/blog//a",
        "blog",
      ];
      const outcome = await inject(app, [...Object.values(bad), ...more], "--revalidate", "60", "--output", "json");
      assert.deepEqual(refusalsOf(outcome), {
        ...{
          "no-route": [bad["no-route"]],
          "not-found": [bad["not-found"]],
          origin: [bad.origin],
          reserved: [bad.reserved],
        },
        dynamic: [bad.dynamic, "/rev/1", "/pssr/1"],
        closed: [bad.closed, "/pf/two"],
        query: [bad.query, "/blog/a#b"],
        encoding: [bad.encoding, "/blog/%ff", "/blog/a\\b"],
        traversal: [bad.traversal, "/blog//a"],
        "no-path": [bad["no-path"], "blog"],
      });
      assert.equal(outcome.code, 1, "nothing could be done");
      assert.equal(summaryOf(outcome).refused.find(({ reason }) => reason === "dynamic")?.count, 4);
    });

    test("with something done, refusals fail only if that is asked for", async (t) => {
      const app = project(t, version);
      const urls = ["/blog/new", "/ssr/1"];
      assert.equal((await inject(app, urls)).code, 0);
      assert.equal((await inject(app, urls, "--strict")).code, 1);
    });
  });
}

describe("lifetimes", () => {
  test("what is said of a route is more than what is said of all, and that is more than what siblings have", async (t) => {
    const app = project(t, "next16");
    const options = [
      "--revalidate",
      "60",
      "--expire",
      "600",
      "--route",
      "/blog/[slug]=10,100",
      "--route",
      "/feed/[id]=false",
    ];
    await inject(app, ["/blog/new", "/feed/2", "/pb/new"], ...options);
    const { routes } = app.manifest();
    const of = (name: string) => [routes[name]?.initialRevalidateSeconds, routes[name]?.initialExpireSeconds];
    assert.deepEqual(
      [of("/blog/new"), of("/feed/2"), of("/pb/new")],
      [
        [10, 100],
        [false, 600],
        [60, 600],
      ],
    );
  });

  test("a route without siblings needs a lifetime", async (t) => {
    const app = project(t, "next15");
    assert.deepEqual(refusalsOf(await inject(app, ["/fstatic/1"], "--output", "json")), { lifetime: ["/fstatic/1"] });
    await inject(app, ["/fstatic/1"], "--revalidate", "60");
    const entry = app.manifest().routes["/fstatic/1"];
    assert.deepEqual(
      [entry?.initialRevalidateSeconds, entry?.initialExpireSeconds],
      [60, 31_536_000],
      "with the build's expireTime",
    );
  });

  test("siblings are the build's: not what a run has written, and not if they differ", async (t) => {
    const app = project(t, "next15");
    await inject(app, ["/blog/x"], "--revalidate", "60");
    await inject(app, ["/blog/y"]);
    assert.equal(app.manifest().routes["/blog/y"]?.initialRevalidateSeconds, 3600);
    const other = project(t, "next15");
    const manifest = other.manifest();
    const sibling = { ...manifest.routes["/blog/one"], initialRevalidateSeconds: 60 };
    const routes = { ...manifest.routes, "/blog/two": sibling };
    writeFileSync(other.manifestFile, JSON.stringify({ ...manifest, routes }));
    assert.deepEqual(refusalsOf(await inject(other, ["/blog/y"], "--output", "json")), { lifetime: ["/blog/y"] });
  });

  test("14.2 knows no expiry, and gets none", async (t) => {
    const app = project(t, "next14");
    await inject(app, ["/blog/new"], "--revalidate", "60", "--expire", "600");
    assert.equal("initialExpireSeconds" in (app.manifest().routes["/blog/new"] ?? {}), false);
  });

  for (const [args, message] of [
    [["--revalidate", "0"], /--revalidate is "0": expected seconds, .* or "false"/],
    [["--revalidate", "1.5"], /--revalidate is "1.5"/],
    [["--expire", "false"], /--expire is "false"/],
    [["--revalidate", "60", "--expire", "30"], /would expire after 30 s, before it is stale after 60 s/],
    [["--route", "/blog/[slug]"], /expected a route and its seconds/],
    [["--route", "/blog/[id]=60"], /there is no such route; there are .*\/blog\/\[slug\]/],
    [["--locale", "en"], /the build has no locales/],
    [["--origin", "shop.example"], /expected one such as https:\/\/shop.example/],
    [["--base-path", "shop/"], /--base-path is "shop\/"/],
    [["--output", "xml"], /expected text or json/],
    [["--max-urls", "0"], /--max-urls is "0"/],
    [["--pointer", "/a"], /belong to --json/],
    [["--restore"], /choose/],
    [["--list", "-"], /once is all/],
    [["--frob"], /Unknown option '--frob'/],
    [["page.xml"], /Unexpected argument 'page.xml'/],
  ] as [string[], RegExp][]) {
    test(`refused: ${args.join(" ")}`, async (t) => {
      const outcome = await inject(project(t, "next15"), ["/blog/new"], ...args);
      assert.deepEqual([outcome.code, outcome.out], [2, ""]);
      assert.match(outcome.err, message);
      assert.equal(outcome.err.split("\n").length, 1);
    });
  }
});

describe("locales and the base path", () => {
  for (const fixture of ["next14-i18n", "next15-i18n", "next16-i18n"] as Fixture[]) {
    test(`${fixture}: paths have the base path, and names the locale`, async (t) => {
      const app = project(t, fixture);
      const urls = [
        "/base/pb/new",
        "/base/fr/pb/neuf",
        "/base/FR/pb/deux",
        "/base/en/pb/one",
        "/pb/outside",
        "/based/pb/x",
      ];
      const outcome = await inject(app, urls, "--output", "json");
      assert.equal(summaryOf(outcome).added, 3);
      assert.equal(summaryOf(outcome).prerendered, 1);
      assert.deepEqual(refusalsOf(outcome), { "base-path": ["/pb/outside", "/based/pb/x"] });
      const { routes } = app.manifest();
      for (const name of ["/en/pb/new", "/fr/pb/neuf", "/fr/pb/deux"]) {
        const sibling = JSON.stringify(routes["/en/pb/one"], (key, value) =>
          OF_A_RENDER.includes(key) ? undefined : value,
        );
        assert.equal(JSON.stringify(routes[name]), sibling.replace("/en/pb/one", name));
      }
    });
  }

  test("--locale is that of paths without one; --base-path '' says that they come without it", async (t) => {
    const app = project(t, "next15-i18n");
    await inject(app, ["/pb/new", "/en/pb/new"], "--locale", "fr", "--base-path", "");
    const { routes } = app.manifest();
    assert.ok(routes["/fr/pb/new"]);
    assert.ok(routes["/en/pb/new"]);
  });
});

test("a route that is prerendered in part is refused", async (t) => {
  const outcome = await inject(
    project(t, "next16-ppr"),
    ["/ppr/new", "/full/new"],
    "--revalidate",
    "60",
    "--output",
    "json",
  );
  assert.deepEqual(refusalsOf(outcome), { ppr: ["/ppr/new", "/full/new"] });
  assert.equal(outcome.code, 1);
});
