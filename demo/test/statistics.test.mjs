import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom, shuffle } from "../random.mjs";
import { percentile, zipf } from "../statistics.mjs";

test("a percentile is the nearest rank, whatever the order", () => {
  const values = [50, 40, 35, 20, 15];
  assert.equal(percentile(values, 5), 15);
  assert.equal(percentile(values, 30), 20);
  assert.equal(percentile(values, 40), 20);
  assert.equal(percentile(values, 50), 35);
  assert.equal(percentile(values, 100), 50);
  assert.deepEqual(values, [50, 40, 35, 20, 15], "the values are left as they were");
});

test("percentiles compare numbers, not text", () => {
  assert.equal(percentile([9, 10, 100], 50), 10);
});

test("there is no percentile of nothing", () => {
  assert.ok(Number.isNaN(percentile([], 50)));
});

test("Zipf draws ranks in proportion to 1 / rank ^ exponent", () => {
  const draws = 200_000;
  const exponent = 0.9;
  const ranks = 20;
  const draw = zipf(ranks, exponent);
  const random = seededRandom(7);
  const counts = new Array(ranks).fill(0);
  for (let i = 0; i < draws; i++) counts[draw(random)]++;
  const weights = counts.map((_, rank) => (rank + 1) ** -exponent);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  for (const [rank, weight] of weights.entries()) {
    const expected = (draws * weight) / sum;
    // Five standard deviations of a binomial count: a wrong weight is far outside.
    assert.ok(
      Math.abs(counts[rank] - expected) < 5 * Math.sqrt(expected),
      `rank ${rank}: ${counts[rank]} of ${expected}`,
    );
  }
});

test("Zipf reaches the first and the last rank and nothing beyond", () => {
  const draw = zipf(300, 0.9);
  assert.equal(
    draw(() => 0),
    0,
  );
  assert.equal(
    draw(() => 1 - 2 ** -32),
    299,
  );
});

test("the same seed gives the same numbers, another seed others", () => {
  const numbers = (/** @type {number} */ seed) => Array.from({ length: 5 }, seededRandom(seed));
  assert.deepEqual(numbers(1), numbers(1));
  assert.notDeepEqual(numbers(1), numbers(2));
  assert.ok(numbers(3).every((number) => number >= 0 && number < 1));
});

test("shuffling keeps every element and leaves the list alone", () => {
  const list = [1, 2, 3, 4, 5, 6, 7, 8];
  const shuffled = shuffle(list, seededRandom(1));
  assert.notDeepEqual(shuffled, list);
  assert.deepEqual(
    shuffled.toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  assert.deepEqual(list, [1, 2, 3, 4, 5, 6, 7, 8]);
});
