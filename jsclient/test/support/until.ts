import assert from "node:assert/strict";

/** Waits until a condition holds, looking each turn; fails with its name after a while. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, limitMs = 5000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline) assert.fail(`waited ${limitMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Runs something and returns what it gave with how long it took, in milliseconds. */
export async function timed<T>(run: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const startedAt = performance.now();
  const result = await run();
  return { result, ms: performance.now() - startedAt };
}

/**
 * Runs something so often, and asserts that nobody has to wait for anything. What waits for a deadline does so each time; a
 * machine that stands still for a moment hits one or two.
 */
export async function atOnce(times: number, run: (i: number) => Promise<unknown>): Promise<void> {
  const durations: number[] = [];
  for (let i = 0; i < times; i++) durations.push((await timed(() => run(i))).ms);
  const slow = durations.filter((ms) => ms > 150);
  assert.ok(slow.length <= 2, `${slow.length} of ${times} took longer: ${slow.map(Math.round).join(", ")} ms`);
}
