import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { findTelling, type LoadNext } from "../src/next/telling.js";

const NEXT = "next/dist/server/lib/incremental-cache";

/** The Next.js of a workspace of this repository. */
function nextOf(version: string): LoadNext {
  return createRequire(new URL(`../../versions/${version}/package.json`, import.meta.url));
}

describe("how Next.js is told a lifetime", () => {
  for (const [version, way] of [
    ["next14", "table"],
    ["next15", "table"],
    ["next16", "answer"],
  ] as const) {
    test(`${version}: ${way}`, async () => {
      const { telling, problem } = await findTelling(nextOf(version));
      assert.deepEqual([telling.way, problem], [way, undefined]);
    });
  }

  test("by its table: the cache of Next.js 15 reads what was told for a key", async () => {
    const load = nextOf("next15");
    const { telling } = await findTelling(load);
    telling.tell("/route-cache/PAGES/x/$/told", { revalidate: 77, expire: 99 });
    const { SharedCacheControls } = load(`${NEXT}/shared-cache-controls.external.js`) as {
      SharedCacheControls: { cacheControls: Map<string, object> };
    };
    assert.deepEqual(SharedCacheControls.cacheControls.get("/route-cache/PAGES/x/$/told"), {
      revalidate: 77,
      expire: 99,
    });
  });

  test("by its table: 14 reads it by route", async () => {
    const load = nextOf("next14");
    const { telling } = await findTelling(load);
    telling.tell("/blog/index", { revalidate: false });
    const { SharedRevalidateTimings } = load(`${NEXT}/shared-revalidate-timings.js`) as {
      SharedRevalidateTimings: { timings: Map<string, number | false> };
    };
    assert.equal(SharedRevalidateTimings.timings.get("/blog"), false);
  });

  for (const [name, load] of Object.entries<LoadNext>({
    "no Next.js at all": () => {
      throw new Error("Cannot find module\nRequire stack:\n- /x.js");
    },
    "a Next.js whose cache is another": () => ({}),
    "a Next.js whose table has gone": (path) => {
      if (path.endsWith("shared-cache-controls.external.js")) throw new Error("gone");
      return nextOf("next15")(path);
    },
  })) {
    test(`${name}: not at all, and it is said why in one line`, async () => {
      const { telling, problem } = await findTelling(load);
      assert.equal(telling.way, "clock");
      assert.match(problem ?? "", /^.+$/);
      telling.tell("/x", { revalidate: 1 });
    });
  }
});
