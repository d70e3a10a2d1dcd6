import { setTimeout as delay } from "node:timers/promises";

const PROBE_INTERVAL_MS = 20;

/**
 * Asks again and again until the probe does not throw, and returns what it gives then; for states that nobody announces.
 * Fails with the probe's last error when the time is over. A probe must end by itself.
 */
export async function eventually<T>(what: string, timeoutMs: number, probe: () => T | Promise<T>): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await probe();
    } catch (error) {
      if (performance.now() > deadline) {
        throw new Error(`not within ${timeoutMs} ms: ${what}: ${(error as Error).message}`, { cause: error });
      }
    }
    await delay(PROBE_INTERVAL_MS);
  }
}

/** The promise's outcome, or an error if it takes longer. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
