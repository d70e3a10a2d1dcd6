import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { Space } from "../src/gen/isrd/v1/entry_pb.js";
import { type Finding, tellHost } from "../src/next/answer.js";
import { findServedBuild } from "../src/next/build.js";
import { isOnDemand, isPrefetch, isProbe, treatsRouterAsPrefetch } from "../src/next/intent.js";
import { lifetimeOf, retryAfterMs } from "../src/next/lifetime.js";
import { softTagsOf, spaceOf, tagsOf } from "../src/next/space.js";
import type { HostAnswer, HostGetContext, HostValue } from "../src/next/values.js";
import { memoryLog } from "./support/host.js";
import { appPage, fetched, pagesPage, RandomValues } from "./support/values.js";

const NOW = 1_000_000_000;

const circumstances = (ctx: HostGetContext = {}) => ({ ctx, way: "answer" as const, now: NOW });

const noNext = (): never => {
  throw new Error("there is no Next.js here");
};

function finding(options: Partial<Finding>): Finding {
  return { status: Status.HIT, reason: Reason.UNSPECIFIED, ageMs: 0, lifetime: {}, leased: false, ...options };
}

/** Next.js 16.4's own judgement of a response (server/lib/incremental-cache/index.js). */
function judge({ lastModified, cacheControl }: HostAnswer, now: number): "fresh" | "stale" | "blocking" {
  const { revalidate, expire } = cacheControl ?? { revalidate: 1 };
  if (revalidate === 0) throw new Error("revalidate 0 is answered with a 500");
  if (typeof expire === "number" && expire * 1000 + lastModified < now) return "blocking";
  return revalidate !== false && revalidate * 1000 + lastModified < now ? "stale" : "fresh";
}

describe("what Next.js is told of a response", () => {
  test("a hit is fresh with its age and lifetimes", () => {
    const answer = tellHost(
      appPage("x"),
      finding({ ageMs: 5000, lifetime: { revalidate: 60, expire: 600 } }),
      circumstances(),
    );
    assert.deepEqual([answer.lastModified, answer.cacheControl], [NOW - 5000, { revalidate: 60, expire: 600 }]);
    assert.deepEqual(tellHost(null, finding({}), circumstances()), {
      value: null,
      lastModified: NOW,
      cacheControl: { revalidate: false },
    });
  });

  test("whatever the daemon found, Next.js comes to the same judgement", () => {
    const random = new RandomValues(7);
    for (let round = 0; round < 5000; round++) {
      const revalidate = random.maybe(() => random.int(5));
      const expire = random.maybe(() => 1 + random.int(8));
      const status = random.pick([Status.HIT, Status.STALE]);
      const leased = status === Status.STALE && random.int(2) === 1;
      const lifetime = {
        ...(revalidate === undefined ? {} : { revalidate }),
        ...(expire === undefined ? {} : { expire }),
      };
      const limitMs = Math.min((status === Status.HIT ? (revalidate ?? 99) : 99) * 1000, (expire ?? 99) * 1000);
      const found = finding({ status, leased, lifetime, ageMs: random.int(Math.max(1, limitMs)) });
      const answer = tellHost(appPage("x"), found, circumstances());
      const expected = leased ? "stale" : "fresh";
      for (const later of [0, 5, 100]) {
        assert.equal(
          judge(answer, NOW + later),
          expected,
          `${JSON.stringify(found)} → ${JSON.stringify(answer)}, ${later} ms later`,
        );
      }
    }
  });

  test("stale and leased: a second toward a CDN, the expiry kept", () => {
    const found = finding({
      status: Status.STALE,
      leased: true,
      ageMs: 70_000,
      lifetime: { revalidate: 60, expire: 600 },
    });
    const answer = tellHost(appPage("x"), found, circumstances());
    assert.deepEqual([answer.lastModified, answer.cacheControl], [NOW - 70_000, { revalidate: 1, expire: 600 }]);
  });

  test("stale, and another regenerates: fresh for a second, the expiry kept", () => {
    const found = finding({ status: Status.STALE, ageMs: 70_000, lifetime: { revalidate: 60, expire: 600 } });
    const answer = tellHost(pagesPage("x"), found, circumstances());
    assert.deepEqual([answer.lastModified, answer.cacheControl], [NOW, { revalidate: 1, expire: 600 }]);
  });
});

describe("what Next.js is told of what the daemon could not ask its store about", () => {
  const unasked = (options: Partial<Finding>) =>
    finding({ reason: Reason.STORE_UNAVAILABLE, ageMs: 60_000, ...options });

  test("a page or an image: fresh for a second, the expiry kept", () => {
    const lifetime = { revalidate: 3600, expire: 7200 };
    for (const status of [Status.HIT, Status.STALE]) {
      const page = tellHost(appPage("x"), unasked({ status, lifetime }), circumstances());
      assert.deepEqual([page.lastModified, page.cacheControl], [NOW, { revalidate: 1, expire: 7200 }]);
      const image = {
        kind: "IMAGE",
        etag: "",
        upstreamEtag: "",
        buffer: Buffer.of(1),
        extension: "webp",
        revalidate: 3600,
      };
      const { value } = tellHost(image as HostValue, unasked({ status, lifetime }), circumstances());
      assert.equal((value as { revalidate: number }).revalidate, 1);
    }
  });

  test("a fetch: its true age; and old if it is, since a tag may be why", () => {
    assert.equal(tellHost(fetched("x", [], 3600), unasked({}), circumstances()).lastModified, NOW - 60_000);
    const old = tellHost(fetched("x", [], 3600), unasked({ status: Status.STALE }), circumstances());
    assert.ok(NOW - old.lastModified > 3600_000);
  });
});

describe("what Next.js is told of a fetch", () => {
  const isStale = (answer: HostAnswer, ctx: { revalidate?: number | false }): boolean =>
    (NOW - answer.lastModified) / 1000 > (ctx.revalidate || (answer.value as { revalidate: number }).revalidate);

  test("fresh and old by time: the true age, whoever regenerates", () => {
    for (const leased of [true, false]) {
      const found = finding({ status: Status.STALE, reason: Reason.REVALIDATE, ageMs: 61_000, leased });
      const answer = tellHost(fetched("x"), found, circumstances());
      assert.deepEqual([answer.lastModified, answer.cacheControl], [NOW - 61_000, undefined]);
      assert.ok(isStale(answer, {}));
    }
    assert.equal(tellHost(fetched("x"), finding({ ageMs: 9 }), circumstances()).lastModified, NOW - 9);
  });

  test("old by a tag: so old that its reader sees it stale, with the reader's lifetime or its own", () => {
    for (const leased of [true, false]) {
      for (const ctx of [{}, { revalidate: 5 }, { revalidate: 86_400 }, { revalidate: false as const }]) {
        const found = finding({ status: Status.STALE, reason: Reason.TAG_STALE, ageMs: 10, leased });
        assert.ok(isStale(tellHost(fetched("x", [], 31_536_000), found, circumstances(ctx)), ctx), JSON.stringify(ctx));
      }
    }
  });

  test("whoever has the lease sees it stale although its own lifetime is longer: somebody must fetch", () => {
    const found = finding({ status: Status.STALE, reason: Reason.REVALIDATE, ageMs: 61_000, leased: true });
    assert.ok(isStale(tellHost(fetched("x"), found, circumstances({ revalidate: 3600 })), { revalidate: 3600 }));
  });
});

describe("what Next.js is told of an image", () => {
  const image = {
    kind: "IMAGE",
    etag: "e",
    upstreamEtag: "u",
    buffer: Buffer.from("x"),
    extension: "webp",
    revalidate: 14_400,
  } as const;
  const minimumTtl = 60;
  const isStale = ({ value, lastModified }: HostAnswer): boolean =>
    Math.max((value as { revalidate: number }).revalidate, minimumTtl) * 1000 + lastModified < Date.now();

  test("fresh, old and leased, old and regenerated elsewhere", () => {
    assert.equal(
      isStale(tellHost(image, finding({ ageMs: 14_399_000, lifetime: { revalidate: 14_400 } }), circumstances())),
      false,
    );
    assert.equal(
      isStale(tellHost(image, finding({ status: Status.STALE, leased: true, ageMs: 10 }), circumstances())),
      true,
    );
    const other = tellHost(image, finding({ status: Status.STALE, ageMs: 15_000_000 }), circumstances());
    assert.equal(isStale(other), false);
    assert.equal((other.value as { revalidate: number }).revalidate, 1);
    assert.equal(image.revalidate, 14_400, "the value itself is left alone");
  });
});

describe("what is read out of the contexts of Next.js", () => {
  test("the key space", () => {
    const cases: [Parameters<typeof spaceOf>[0], Space][] = [
      [{ kind: "FETCH" }, Space.FETCH],
      [{ kindHint: "fetch" }, Space.FETCH],
      [{ fetchCache: true }, Space.FETCH],
      [{ kind: "IMAGE" }, Space.IMAGE],
      [{ kind: "APP_PAGE" }, Space.ROUTE],
      [{ kind: "APP_ROUTE" }, Space.ROUTE],
      [{ kindHint: "pages" }, Space.ROUTE],
      [{ kindHint: "app" }, Space.ROUTE],
      [{}, Space.ROUTE],
    ];
    for (const [ctx, space] of cases) assert.equal(spaceOf(ctx), space, JSON.stringify(ctx));
  });

  test("tags: a page's from its header, a fetch's own first, none for the Pages Router and nothing", () => {
    assert.deepEqual(tagsOf(appPage("x", "a,b,"), {}), ["a", "b"]);
    assert.deepEqual(tagsOf(fetched("x", ["b", "a"]), { tags: ["a", "c"] }), ["b", "a", "c"]);
    assert.deepEqual(tagsOf(pagesPage("x"), { tags: ["a"] }), []);
    assert.deepEqual(tagsOf(null, {}), []);
    assert.deepEqual(softTagsOf({ tags: ["a", "b"], softTags: ["b", "c"] }), ["a", "b", "c"]);
  });

  test("lifetimes of 16, 15 and 14", () => {
    const page = appPage("x");
    assert.deepEqual(lifetimeOf(page, { cacheControl: { revalidate: 60, expire: 600 } }), {
      revalidate: 60,
      expire: 600,
    });
    assert.deepEqual(lifetimeOf(page, { cacheControl: { revalidate: false } }), {});
    assert.deepEqual(lifetimeOf(page, { revalidate: 60 }), { revalidate: 60 });
    assert.deepEqual(lifetimeOf(page, { revalidate: false }), {});
    assert.deepEqual(lifetimeOf(null, {}), { revalidate: 1 });
    assert.deepEqual(lifetimeOf(page, { cacheControl: { revalidate: 0 } }), undefined);
    assert.deepEqual(lifetimeOf(page, { cacheControl: { revalidate: 0.2, expire: 1e12 } }), {
      revalidate: 1,
      expire: 0xffff_ffff,
    });
    assert.deepEqual(lifetimeOf(fetched("x", [], 7), { revalidate: 99 }), { revalidate: 7 });
    assert.deepEqual(lifetimeOf({ ...fetched("x"), revalidate: false } as HostValue, {}), {});
  });

  test("the delay after a failed render: the entry's own revalidate, between 3 and 30 seconds", () => {
    const told = { cacheControl: { revalidate: 3, expire: 60 } };
    assert.deepEqual(
      [1, 3, 10, 60, undefined].map((own) => retryAfterMs(told, own)),
      [3000, 3000, 10_000, 30_000, 30_000],
    );
    assert.equal(retryAfterMs({ revalidate: 30 }, 3), 30_000);
  });

  test("on demand only with the build's secret; probes; prefetches, also by raw headers", () => {
    assert.equal(isOnDemand({ "x-prerender-revalidate": "s" }, "s"), true);
    assert.equal(isOnDemand({ "x-prerender-revalidate": "guess" }, "s"), false);
    assert.equal(isOnDemand({ "x-prerender-revalidate": "s" }, undefined), false);
    assert.equal(isOnDemand({}, undefined), false);
    assert.deepEqual(
      [isProbe({ isRoutePPREnabled: true }), isProbe({ isRoutePPREnabled: true, isFallback: true }), isProbe({})],
      [true, false, false],
    );
    assert.equal(isPrefetch({ purpose: "prefetch" }), true);
    assert.equal(isPrefetch({ "next-router-prefetch": "1" }), true);
    assert.equal(isPrefetch({}, ["Accept", "*/*", "Next-Router-Prefetch", "1"]), true);
    assert.equal(isPrefetch({}, ["Next-Router-Prefetch", "2"]), false);
    assert.equal(isPrefetch({}, ["x", "next-router-prefetch", "y"]), false);
    assert.equal(isPrefetch(undefined), false);
    assert.equal(
      isPrefetch({ "next-router-prefetch": "1" }, [], () => false),
      false,
    );
    assert.equal(
      isPrefetch({ purpose: "prefetch" }, [], () => false),
      true,
    );
  });

  test("what a router prefetches is a prefetch to 16, and not to 15", () => {
    for (const [version, expected] of [
      ["next15", false],
      ["next16", true],
    ] as const) {
      const load = createRequire(new URL(`../../versions/${version}/package.json`, import.meta.url));
      assert.equal(treatsRouterAsPrefetch(load), expected, version);
    }
    assert.equal(
      treatsRouterAsPrefetch(() => assert.fail("not there")),
      true,
    );
  });
});

describe("what a process serves", () => {
  function project(t: TestContext, files: Record<string, unknown>): string {
    const root = mkdtempSync(join(tmpdir(), "isrd-project-"));
    t.after(() => rmSync(root, { recursive: true, force: true }));
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(join(root, file, ".."), { recursive: true });
      writeFileSync(join(root, file), typeof content === "string" ? content : JSON.stringify(content));
    }
    return join(root, "apps", "web", ".next", "server");
  }

  test("the nearest package.json with a name, the BUILD_ID, and the preview id of either file", (t) => {
    const log = memoryLog();
    const dist = project(t, {
      "package.json": { name: "monorepo" },
      "apps/web/package.json": { name: "web" },
      "apps/web/.next/package.json": { type: "commonjs" },
      "apps/web/.next/BUILD_ID": "abc\n",
      "apps/web/.next/prerender-manifest.json": { preview: { previewModeId: "old" } },
    });
    const served = findServedBuild(dist, {}, log, noNext);
    assert.deepEqual(served, {
      app: "web",
      build: { buildId: "abc", deploymentId: "" },
      nextVersion: "",
      previewId: "old",
    });
    mkdirSync(dist);
    writeFileSync(join(dist, "preview-props.json"), JSON.stringify({ previewModeId: "new" }));
    assert.equal(findServedBuild(dist, { ISRD_APP: "shop" }, log, noNext).previewId, "new");
    assert.equal(findServedBuild(dist, { ISRD_APP: "shop" }, log, noNext).app, "shop");
    assert.deepEqual(log.lines, []);
  });

  test("the deployment's id: environment, routes manifest, configuration", (t) => {
    const routes = { "apps/web/.next/routes-manifest.json": { deploymentId: "dpl-routes" } };
    const config = { "apps/web/.next/required-server-files.json": { config: { deploymentId: "dpl-config" } } };
    const log = memoryLog();
    const find = (files: object, env = {}) =>
      findServedBuild(project(t, { ...files }), env, log, noNext).build.deploymentId;
    assert.equal(find({ ...routes, ...config }, { NEXT_DEPLOYMENT_ID: "dpl-env" }), "dpl-env");
    assert.equal(find({ ...routes, ...config }), "dpl-routes");
    assert.equal(find(config), "dpl-config");
    assert.equal(find({ "apps/web/.next/routes-manifest.json": "{cut off" }), "");
  });

  test("without a build output: warnings, and nothing breaks", (t) => {
    const log = memoryLog();
    const served = findServedBuild(project(t, { "package.json": { name: "root" } }), {}, log, noNext);
    assert.deepEqual(served, {
      app: "root",
      build: { buildId: "", deploymentId: "" },
      nextVersion: "",
      previewId: undefined,
    });
    assert.match(log.lines.join(), /there is no BUILD_ID/);
    assert.ok(findServedBuild(undefined, {}, log, noNext).app.length > 0);
  });
});
