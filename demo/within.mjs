// A bound that holds whatever the thing does that is waited for.

/**
 * Runs a task for at most a while.
 *
 * The timer is its own: a `fetch` whose only bound was AbortSignal.timeout has been seen to stay pending for good on
 * Node 20, after its connection was gone.
 *
 * @template T
 * @param {number} ms
 * @param {(signal: AbortSignal) => Promise<T>} task is given a signal that says when nobody waits any more
 * @param {AbortSignal} [outer] ends the wait too
 * @returns {Promise<T>} what the task gives; rejects with a TimeoutError, or with the reason of `outer`
 */
export async function within(ms, task, outer) {
  const abort = new AbortController();
  const ended = new Promise((_, reject) => {
    abort.signal.addEventListener("abort", () => reject(abort.signal.reason), { once: true });
  });
  const follow = () => abort.abort(outer?.reason);
  const timer = setTimeout(() => abort.abort(new DOMException(`took more than ${ms} ms`, "TimeoutError")), ms);
  outer?.addEventListener("abort", follow, { once: true });
  if (outer?.aborted) follow();
  try {
    return await Promise.race([task(abort.signal), /** @type {Promise<never>} */ (ended)]);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", follow);
  }
}
