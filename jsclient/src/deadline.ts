/** A timer that fires so much later than it should tells that this thread was busy, not that the daemon was. */
export const BLOCKED_MS = 25;

/**
 * A deadline is for a daemon that hangs. Where there is not enough CPU for all, the daemon is slow and this thread is away,
 * and to give up makes it worse: then everybody renders the page. So a deadline is extended, up to so many times its length.
 */
export const PATIENCE = 5;

/** A promise with its two ends. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Makes a promise that is settled from outside. A rejection that nobody waits for is no accident. */
export function deferred<T>(): Deferred<T> {
  let ends: Omit<Deferred<T>, "promise"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    ends = { resolve, reject };
  });
  promise.catch(() => {});
  return Object.assign({ promise }, ends as Omit<Deferred<T>, "promise">);
}

/**
 * Waits for a promise, but not longer than a deadline: then rejects with what `late` returns. Timers run before sockets
 * are read, so at the deadline the promise gets one more turn of the event loop; and where this thread was away, another
 * deadline, up to PATIENCE of them. The promise itself goes on. With `background` the wait does not keep the process alive.
 */
export function within<T>(
  promise: Promise<T>,
  timeoutMs: number,
  late: () => Error,
  { background = false } = {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    const limitAt = performance.now() + PATIENCE * timeoutMs;
    let settled = false;
    let timer: NodeJS.Timeout;
    const wait = (ms: number): void => {
      const dueAt = performance.now() + ms;
      timer = setTimeout(() => setImmediate(() => expire(dueAt)), ms);
      if (background) timer.unref();
    };
    const expire = (dueAt: number): void => {
      if (settled) return;
      const now = performance.now();
      if (now - dueAt > BLOCKED_MS && now < limitAt) wait(Math.min(timeoutMs, limitAt - now));
      else reject(late());
    };
    wait(timeoutMs);
    const settle = (): void => {
      settled = true;
      clearTimeout(timer);
    };
    promise.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}
