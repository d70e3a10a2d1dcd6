import assert from "node:assert/strict";
import { test } from "node:test";
import { figuresOf, isGood, oldPages, rendersCausedByRestart } from "../figures.mjs";
import { allPages } from "../pages.mjs";

const IMAGE_AT = 1_000_000;
const RESTARTED = 1;

/** @param {string} path */
function pageAt(path) {
  const page = allPages().find((candidate) => candidate.path === path);
  assert.ok(page, path);
  return page;
}

/**
 * A good answer of replica 0 to a request for /p/1, unless said otherwise.
 *
 * @param {Partial<import("../traffic.mjs").Sample> & { path?: string }} [different]
 * @returns {import("../traffic.mjs").Sample}
 */
function sample({ path = "/p/1", ...different } = {}) {
  const page = pageAt(path);
  return {
    page,
    sentAt: 0,
    latencyMs: 5,
    status: 200,
    cache: "HIT",
    replica: 0,
    life: 0,
    renderedAt: IMAGE_AT,
    versions: new Map(page.products.map((product) => [product, 1])),
    ...different,
  };
}

/**
 * @param {Partial<import("../change.mjs").AppliedChange>} [different]
 * @returns {import("../change.mjs").AppliedChange}
 */
function changed(different) {
  return { changedAt: 0, returnedAt: 0, versions: new Map(), affected: new Set(), ...different };
}

test("an old page is one with an earlier version, asked for after the revalidation had returned", () => {
  const change = changed({ returnedAt: 100, versions: new Map([[1, 2]]) });
  const old = sample({ sentAt: 101, versions: new Map([[1, 1]]) });
  const samples = [
    old,
    sample({ sentAt: 101, versions: new Map([[1, 2]]) }),
    sample({ sentAt: 100, versions: new Map([[1, 1]]) }), // sent before it had returned, answered whenever
    sample({ sentAt: 101, path: "/p/2", versions: new Map([[2, 1]]) }), // has not changed
    sample({ sentAt: 101, status: 0, versions: new Map() }), // shows nothing
  ];
  assert.deepEqual(oldPages(samples, change), [old]);
});

test("a listing is old if any of its products is", () => {
  const change = changed({ versions: new Map([[17, 2]]) });
  const home = sample({ path: "/", sentAt: 1 });
  assert.deepEqual(oldPages([home], change), [home]);
  assert.deepEqual(oldPages([{ ...home, versions: new Map([...home.versions, [17, 2]]) }], change), []);
});

test("an answer is good if it has status 200 and all of the page's products", () => {
  assert.ok(isGood(sample()));
  assert.ok(!isGood(sample({ status: 500 })));
  assert.ok(!isGood(sample({ status: 0 })));
  assert.ok(!isGood(sample({ versions: new Map() })));
  assert.ok(!isGood(sample({ path: "/", versions: new Map([[3, 1]]) })), "one product of twelve");
});

/**
 * @param {object} given
 * @param {import("../traffic.mjs").Sample[]} given.samples
 * @param {Partial<import("../fleet.mjs").Render>} given.render by the new process of the restarted replica, of /p/1
 * @param {import("../change.mjs").AppliedChange} [given.change]
 */
function causedByRestart({ samples, render, change = changed() }) {
  const renders = [{ at: IMAGE_AT + 5_000, path: "/p/1", replica: RESTARTED, life: 1, ...render }];
  return rendersCausedByRestart({ samples, renders, imageAt: IMAGE_AT, restarted: RESTARTED, change }).length;
}

test("the restart caused a render of a page that the old process had, still fresh", () => {
  const samples = [sample({ replica: RESTARTED })];
  assert.equal(causedByRestart({ samples, render: {} }), 1);
});

test("the restart did not cause a render by another replica or by the old process", () => {
  const samples = [sample({ replica: RESTARTED })];
  assert.equal(causedByRestart({ samples, render: { replica: 2 } }), 0);
  assert.equal(causedByRestart({ samples, render: { life: 0 } }), 0);
});

test("the restart did not cause a render of a page that the old process never had", () => {
  assert.equal(causedByRestart({ samples: [], render: {} }), 0);
  assert.equal(causedByRestart({ samples: [sample({ replica: 0 })], render: {} }), 0, "another replica had it");
  assert.equal(
    causedByRestart({ samples: [sample({ replica: RESTARTED, life: 1 })], render: {} }),
    0,
    "the new one had it",
  );
});

test("the restart did not cause a render of a copy that would have been past its lifetime", () => {
  const path = "/deals/130"; // fresh for 15 s
  const renderedAt = IMAGE_AT + 2_000;
  const samples = [sample({ path, replica: RESTARTED, renderedAt })];
  assert.equal(causedByRestart({ samples, render: { path, at: renderedAt + 14_999 } }), 1);
  assert.equal(causedByRestart({ samples, render: { path, at: renderedAt + 15_000 } }), 0);
});

test("the newest copy that the old process had is what counts", () => {
  const path = "/deals/130";
  const copies = [IMAGE_AT + 9_000, IMAGE_AT + 1_000].map((renderedAt) =>
    sample({ path, replica: RESTARTED, renderedAt }),
  );
  assert.equal(causedByRestart({ samples: copies, render: { path, at: IMAGE_AT + 20_000 } }), 1);
});

test("a prerendered page is fresh from when the image was made", () => {
  const path = "/deals/128";
  const samples = [sample({ path, replica: RESTARTED, renderedAt: IMAGE_AT - 86_400_000 })];
  assert.equal(causedByRestart({ samples, render: { path, at: IMAGE_AT + 14_999 } }), 1);
  assert.equal(causedByRestart({ samples, render: { path, at: IMAGE_AT + 15_000 } }), 0);
});

test("the restart did not cause a render that the content change demanded", () => {
  const samples = [sample({ replica: RESTARTED })];
  const change = changed({ changedAt: IMAGE_AT + 3_000, affected: new Set(["/p/1"]) });
  assert.equal(causedByRestart({ samples, render: { at: IMAGE_AT + 5_000 }, change }), 0);
  assert.equal(causedByRestart({ samples, render: { at: IMAGE_AT + 2_000 }, change }), 1, "rendered before the change");
  assert.equal(
    causedByRestart({ samples, render: { path: "/p/1" }, change: changed({ changedAt: IMAGE_AT + 3_000 }) }),
    1,
  );
});

test("the figures count what was seen", () => {
  const renders = ["/p/1", "/p/1", "/p/2"].map((path, at) => ({ at, path, replica: 0, life: 0 }));
  const figures = figuresOf({
    samples: [
      sample({ latencyMs: 1 }),
      sample({ latencyMs: 2, cache: "STALE" }),
      sample({ latencyMs: 3, cache: "MISS", path: "/p/2" }),
      sample({ latencyMs: 400, cache: "", status: 0, path: "/c/3" }),
      sample({ latencyMs: 5, sentAt: 60, versions: new Map([[1, 1]]) }),
    ],
    renders,
    originCalls: 9,
    imageAt: IMAGE_AT,
    restarted: RESTARTED,
    change: changed({ returnedAt: 50, versions: new Map([[1, 2]]) }),
  });
  assert.deepEqual(figures, {
    requests: 5,
    errors: 1,
    p50Ms: 3,
    p95Ms: 400,
    p99Ms: 400,
    originCalls: 9,
    renders: 3,
    pages: 3,
    rendersPerPage: 1,
    mostRendersOfOnePage: 2,
    responsesByCache: { HIT: 2, STALE: 1, MISS: 1, none: 1 },
    latencyByCache: {
      HIT: { p50Ms: 1, p95Ms: 5 },
      STALE: { p50Ms: 2, p95Ms: 2 },
      MISS: { p50Ms: 3, p95Ms: 3 },
      none: { p50Ms: 400, p95Ms: 400 },
    },
    hitRate: 0.6,
    oldPages: 1,
    oldPagesByRouter: { app: 1, pages: 0 },
    oldPagesLastMs: 10,
    restartRenders: 0,
  });
});
