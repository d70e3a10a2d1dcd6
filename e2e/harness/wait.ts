import { setTimeout as delay } from "node:timers/promises";

const PROBE_INTERVAL_MS = 20;
const TICK_MS = 50;

/** A longer pause than this between two ticks was none of what is waited for: this process, or the machine, stood still. */
const MOST_MS = 500;

let awakeMs = 0;
let tickedAt = performance.now();
setInterval(awakeTime, TICK_MS).unref();

/**
 * For how long this process has been awake. Bounds are in this time: a machine that stands still for a while, as virtual
 * ones do, must not end a wait before what is waited for had its time.
 */
function awakeTime(): number {
  const now = performance.now();
  awakeMs += Math.min(now - tickedAt, MOST_MS);
  tickedAt = now;
  return awakeMs;
}

/**
 * Asks again and again until the probe does not throw, and returns what it gives then; for states that nobody announces.
 * Fails with the probe's last error when the time is over. A probe must end by itself.
 */
export async function eventually<T>(what: string, timeoutMs: number, probe: () => T | Promise<T>): Promise<T> {
  const deadline = awakeTime() + timeoutMs;
  for (;;) {
    try {
      return await probe();
    } catch (error) {
      if (awakeTime() > deadline) {
        throw new Error(`not within ${timeoutMs} ms: ${what}: ${(error as Error).message}`, { cause: error });
      }
    }
    await delay(PROBE_INTERVAL_MS);
  }
}

/** The promise's outcome, or an error if it takes longer: that one, or one that says what it was. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, what: string | (() => Error)): Promise<T> {
  const deadline = awakeTime() + timeoutMs;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const expire = (): void => {
      const left = deadline - awakeTime();
      if (left > 0) timer = setTimeout(expire, left);
      else reject(typeof what === "string" ? new Error(`not within ${timeoutMs} ms: ${what}`) : what());
    };
    timer = setTimeout(expire, timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
