import assert from "node:assert/strict";
import { test } from "node:test";
import { within } from "../within.mjs";

const never = () => new Promise(() => {});

test("a task that never settles is given up, and told", async () => {
  /** @type {AbortSignal | undefined} */
  let seen;
  const waiting = within(20, (signal) => {
    seen = signal;
    return never();
  });
  await assert.rejects(waiting, { name: "TimeoutError" });
  assert.equal(seen?.aborted, true);
});

test("the outer signal ends the wait with its own reason, also if it was aborted before", async () => {
  const outer = new AbortController();
  const waiting = within(60_000, never, outer.signal);
  outer.abort(new Error("Ctrl-C"));
  await assert.rejects(waiting, /Ctrl-C/);
  await assert.rejects(within(60_000, never, outer.signal), /Ctrl-C/);
});

test("what the task gives, or fails with, is passed on", async () => {
  assert.equal(await within(60_000, () => Promise.resolve(7)), 7);
  const broken = within(60_000, () => Promise.reject(new Error("broken")));
  await assert.rejects(broken, /broken/);
});
