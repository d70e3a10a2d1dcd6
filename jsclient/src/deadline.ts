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
 * are read, so at the deadline the promise gets one more turn of the event loop. The promise itself goes on. With `background` the wait does not keep the process
 * alive.
 */
export function within<T>(
  promise: Promise<T>,
  timeoutMs: number,
  late: () => Error,
  { background = false } = {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const timer = setTimeout(() => {
      setImmediate(() => {
        if (!settled) reject(late());
      });
    }, timeoutMs);
    if (background) timer.unref();
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
