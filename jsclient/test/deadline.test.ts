import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { within } from "../src/deadline.js";

const late = (): Error => new Error("late");

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test("what takes longer than its deadline is late, and what comes in time is not", async () => {
  await assert.rejects(within(delay(5000, undefined, { ref: false }), 20, late), /late/);
  assert.equal(await within(delay(1, "in time"), 1000, late), "in time");
});

test("where this thread was away at the deadline there is another one", async () => {
  const waiting = within(delay(320, "after all"), 200, late);
  setTimeout(() => block(290), 1);
  assert.equal(await waiting, "after all");
});
