import type { TestContext } from "node:test";

/**
 * A clock for all of them: what Next.js reads, and what the daemon's store reads. It stands still but for what is passed, so
 * that two who are asked one after the other are asked at the same time. Sessions keep their own, which goes on.
 */
export function movableClock(t: TestContext): { pass(ms: number): void } {
  const { timeOrigin } = performance;
  const start = Date.now();
  let passed = 0;
  // Whoever reads it adds what `performance.now` says.
  const origin = (): number => start + passed - performance.now();
  Object.defineProperty(performance, "timeOrigin", { configurable: true, get: origin });
  t.mock.method(Date, "now", () => start + passed);
  t.after(() => Object.defineProperty(performance, "timeOrigin", { configurable: true, value: timeOrigin }));
  return { pass: (ms) => (passed += ms) };
}
