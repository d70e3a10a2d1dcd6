import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, formatTable } from "../table.mjs";

/**
 * @param {Partial<import("../figures.mjs").Figures>} different
 * @returns {import("../figures.mjs").Figures}
 */
function figures(different) {
  return {
    requests: 4000,
    errors: 0,
    p50Ms: 2.345,
    p95Ms: 210.4,
    p99Ms: 480,
    originCalls: 3210,
    renders: 1200,
    pages: 300,
    rendersPerPage: 4,
    mostRendersOfOnePage: 20,
    responsesByCache: {},
    latencyByCache: {},
    hitRate: 0.7312,
    oldPages: 0,
    oldPagesByRouter: { app: 0, pages: 0 },
    oldPagesLastMs: 0,
    restartRenders: 70,
    ...different,
  };
}

test("the table has a row for each figure and a column for each leg", () => {
  const text = formatTable([
    { title: "Next.js's own cache", figures: figures({}) },
    { title: "isrd", figures: figures({ renders: 300, rendersPerPage: 1, restartRenders: 0, oldPages: 12 }) },
  ]);
  const row = (/** @type {string} */ name) =>
    text
      .split("\n")
      .find((line) => line.startsWith(`${name}  `))
      ?.slice(name.length)
      .trim()
      .split(/ {2,}/);
  assert.deepEqual(row("requests"), ["4,000", "4,000"]);
  assert.deepEqual(row("errors"), ["0", "0"]);
  assert.deepEqual(row("p50, ms"), ["2.3", "2.3"]);
  assert.deepEqual(row("p95, ms"), ["210", "210"]);
  assert.deepEqual(row("renders"), ["1,200", "300", "−75 %"]);
  assert.deepEqual(row("renders per page"), ["4.00", "1.00", "−75 %"]);
  assert.deepEqual(row("hit rate"), ["73.1 %", "73.1 %"]);
  assert.deepEqual(row("old pages after the revalidation returned"), ["0", "12"]);
  assert.deepEqual(row("renders caused by the restart"), ["70", "0", "−100 %"]);
});

test("columns are aligned to the right", () => {
  const [head = "", , ...rows] = formatTable([
    { title: "a long title", figures: figures({}) },
    { title: "b", figures: figures({ originCalls: 1_234_567, hitRate: 1, renders: 1 }) },
  ]).split("\n");
  const firstEnd = head.indexOf("a long title") + "a long title".length;
  for (const line of rows.slice(0, 11)) assert.match(line.slice(firstEnd - 1, firstEnd + 1), /^\S( |$)/, line);
});

test("one leg has no difference column", () => {
  assert.doesNotMatch(formatTable([{ title: "isrd", figures: figures({}) }]), /difference/);
});

test("a difference is relative, and there is none to nothing", () => {
  assert.equal(difference(100, 50), "−50 %");
  assert.equal(difference(100, 104), "+4.0 %");
  assert.equal(difference(10, 30), "+200 %");
  assert.equal(difference(5, 5), "");
  assert.equal(difference(0, 5), "");
  assert.equal(difference(5, Number.NaN), "");
});
