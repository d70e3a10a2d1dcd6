import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { planChange } from "../change.mjs";
import { parseOptions } from "../options.mjs";
import { allPages, LIFETIMES, productPath } from "../pages.mjs";
import { planTraffic, readPage } from "../traffic.mjs";

const OPTIONS = { seed: 1, requests: 5_000, rate: 50 };

test("the plan follows from the seed alone", () => {
  const shape = (/** @type {number} */ seed) =>
    planTraffic(allPages(), { ...OPTIONS, seed }).map(({ page, dueMs }) => [page.path, dueMs]);
  assert.deepEqual(shape(1), shape(1));
  assert.notDeepEqual(shape(1), shape(2));
});

test("the plan begins at once, goes forward in time and keeps the rate", () => {
  const plan = planTraffic(allPages(), OPTIONS);
  assert.equal(plan.length, 5_000);
  assert.equal(plan[0]?.dueMs, 0);
  for (const [index, { dueMs }] of plan.entries()) assert.ok(index === 0 || dueMs >= (plan[index - 1]?.dueMs ?? 0));
  const rate = plan.length / ((plan.at(-1)?.dueMs ?? 0) / 1000);
  assert.ok(Math.abs(rate - 50) < 3, `${rate} per second`); // four standard deviations of a Poisson process
});

test("popular pages are asked for more often than others, and most pages are asked for", () => {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { page } of planTraffic(allPages(), OPTIONS)) counts.set(page.path, (counts.get(page.path) ?? 0) + 1);
  const sorted = [...counts.values()].sort((a, b) => b - a);
  assert.ok(counts.size > 280, `${counts.size} of 300 pages`);
  assert.ok((sorted[0] ?? 0) > 10 * (sorted[100] ?? 0));
});

test("there are 300 pages, each once", () => {
  assert.equal(new Set(allPages().map(({ path }) => path)).size, 300);
  assert.equal(allPages().length, 300);
});

test("the shop declares the lifetimes that the figures are judged by", async () => {
  const shop = (/** @type {string} */ file) => readFile(new URL(`../shop/${file}`, import.meta.url), "utf8");
  const declared = async (/** @type {string} */ file) =>
    [...(await shop(file)).matchAll(/\brevalidate(?: =|:) (\d+)/g)].map(([, seconds]) => Number(seconds));
  assert.deepEqual(await declared("app/page.jsx"), [LIFETIMES.home]);
  assert.deepEqual(await declared("app/p/[id]/page.jsx"), [LIFETIMES.p]);
  assert.deepEqual(await declared("app/deals/[id]/page.jsx"), [LIFETIMES.deals]);
  assert.deepEqual(new Set(await declared("pages/product/[id].jsx")), new Set([LIFETIMES.product]));
  assert.deepEqual(new Set(await declared("pages/c/[id].jsx")), new Set([LIFETIMES.c]));
});

test("the products that change are the most visited of their routes, and every page that shows one is announced", () => {
  const pages = allPages();
  const visits = (/** @type {Record<string, number>} */ counts) =>
    Object.entries(counts).flatMap(([path, count]) => {
      const page = pages.find((candidate) => candidate.path === path);
      assert.ok(page, path);
      return Array.from({ length: count }, () => ({ page, dueMs: 0 }));
    });
  const change = planChange(
    visits({
      "/p/17": 9,
      "/p/5": 8,
      "/p/6": 7,
      "/p/7": 6,
      "/p/8": 5,
      "/deals/130": 2,
      "/deals/131": 1,
      "/product/200": 3,
    }),
  );
  assert.deepEqual(change.products, [17, 5, 6, 7, 130, 200]);
  assert.deepEqual(change.tags, ["product-17", "product-6", "product-130", "bestsellers"]);
  assert.deepEqual(change.paths, ["/p/5", "/p/7"]);
  for (const product of change.products) assert.ok(change.affected.has(productPath(product)));
  const showing = pages.filter(({ products }) => products.some((product) => change.products.includes(product)));
  assert.deepEqual(new Set(showing.map(({ path }) => path)), change.affected);
  for (const { router, path } of showing) assert.equal(router === "pages", change.regenerate.includes(path), path);
});

test("a page says when it was rendered and which versions it shows", () => {
  const html =
    '<main data-rendered-at="1795460739291"><li data-product="3" data-version="2">…</li>' +
    '<li data-product="17" data-version="1">…</li></main><script>{\\"data-product\\":99,\\"data-version\\":9}</script>';
  const { renderedAt, versions } = readPage(html);
  assert.equal(renderedAt, 1_795_460_739_291);
  assert.deepEqual(
    [...versions],
    [
      [3, 2],
      [17, 1],
    ],
  );
  assert.deepEqual(readPage("Internal Server Error"), { renderedAt: undefined, versions: new Map() });
});

test("options have defaults, and a wrong one is named", () => {
  assert.deepEqual(parseOptions([]), {
    requests: 4000,
    rate: 40,
    replicas: 4,
    seed: 1,
    legs: ["disk", "isrd"],
    keep: false,
  });
  assert.equal(parseOptions(["--help"]), "help");
  const quick = parseOptions(["--quick", "--only", "isrd", "--seed", "9"]);
  assert.ok(quick !== "help");
  assert.deepEqual([quick.requests, quick.legs, quick.seed], [1000, ["isrd"], 9]);
  assert.throws(() => parseOptions(["--replicas", "1"]), /--replicas 1: expected a whole number, at least 2/);
  assert.throws(() => parseOptions(["--seed", "1e3"]), /--seed 1e3/);
  assert.throws(() => parseOptions(["--only", "redis"]), /--only redis/);
  assert.throws(() => parseOptions(["--fast"]), /--fast/);
});
