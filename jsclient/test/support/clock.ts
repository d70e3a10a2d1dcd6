import type { TestContext } from "node:test";

/** A clock for all of them: what Next.js reads, and what the daemon's store reads. Sessions keep their own. */
export function movableClock(t: TestContext): { pass(ms: number): void } {
  const { timeOrigin } = performance;
  const { now } = Date;
  let passed = 0;
  Object.defineProperty(performance, "timeOrigin", { configurable: true, get: () => timeOrigin + passed });
  t.mock.method(Date, "now", () => now() + passed);
  t.after(() => Object.defineProperty(performance, "timeOrigin", { configurable: true, value: timeOrigin }));
  return { pass: (ms) => (passed += ms) };
}
