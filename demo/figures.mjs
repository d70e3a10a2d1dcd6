// From what was observed to the figures of the table. Pure: every figure is counted from the samples and render counts.
import { percentile } from "./statistics.mjs";

/**
 * Everything that was seen in one leg.
 *
 * @typedef {object} Observations
 * @property {import('./traffic.mjs').Sample[]} samples
 * @property {import('./fleet.mjs').Render[]} renders
 * @property {number} originCalls
 * @property {number} imageAt when the image was made, in milliseconds since 1970: a prerendered page is fresh from then on
 * @property {number} restarted the replica that was restarted once: its first process has life 0, its second life 1
 * @property {import('./change.mjs').AppliedChange} change
 */

/**
 * The figures of one leg.
 *
 * @typedef {object} Figures
 * @property {number} requests
 * @property {number} errors responses that are no good, see isGood
 * @property {number} p50Ms
 * @property {number} p95Ms
 * @property {number} p99Ms
 * @property {number} originCalls
 * @property {number} renders
 * @property {number} pages distinct pages that were asked for
 * @property {number} rendersPerPage
 * @property {number} mostRendersOfOnePage
 * @property {Record<string, number>} responsesByCache how many responses had which `x-nextjs-cache`
 * @property {Record<string, { p50Ms: number, p95Ms: number }>} latencyByCache their latencies
 * @property {number} hitRate the share of responses that no visitor waited a render for: HIT and STALE
 * @property {number} oldPages see oldPages
 * @property {{ app: number, pages: number }} oldPagesByRouter
 * @property {number} oldPagesLastMs how long after the revalidation had returned the last old page was asked for; 0 if none was
 * @property {number} restartRenders see rendersCausedByRestart
 */

/**
 * @param {Observations} observations
 * @returns {Figures}
 */
export function figuresOf(observations) {
  const { samples, renders, originCalls, change } = observations;
  const latencies = samples.map(({ latencyMs }) => latencyMs);
  const pages = new Set(samples.map(({ page }) => page.path)).size;
  const caches = countBy(samples, cacheOf);
  const old = oldPages(samples, change);
  return {
    requests: samples.length,
    errors: samples.filter((sample) => !isGood(sample)).length,
    p50Ms: percentile(latencies, 50),
    p95Ms: percentile(latencies, 95),
    p99Ms: percentile(latencies, 99),
    originCalls,
    renders: renders.length,
    pages,
    rendersPerPage: renders.length / pages,
    mostRendersOfOnePage: Math.max(0, ...Object.values(countBy(renders, ({ path }) => path))),
    responsesByCache: caches,
    latencyByCache: Object.fromEntries(Object.keys(caches).map((cache) => [cache, latencyOf(samples, cache)])),
    hitRate: ((caches.HIT ?? 0) + (caches.STALE ?? 0)) / samples.length,
    oldPages: old.length,
    oldPagesByRouter: {
      app: old.filter(({ page }) => page.router === "app").length,
      pages: old.filter(({ page }) => page.router === "pages").length,
    },
    oldPagesLastMs: Math.max(0, ...old.map(({ sentAt }) => sentAt - change.returnedAt)),
    restartRenders: rendersCausedByRestart(observations).length,
  };
}

/**
 * A response is good if it came whole within its time, has status 200 and shows every product that its page has.
 *
 * @param {import('./traffic.mjs').Sample} sample
 */
export function isGood({ status, page, versions }) {
  return status === 200 && page.products.every((product) => versions.has(product));
}

/**
 * The old pages: responses whose request was sent after the revalidation had returned, and which show a changed product
 * in an earlier version.
 *
 * @param {readonly import('./traffic.mjs').Sample[]} samples
 * @param {import('./change.mjs').AppliedChange} change
 * @returns {import('./traffic.mjs').Sample[]}
 */
export function oldPages(samples, { returnedAt, versions }) {
  return samples.filter(
    (sample) =>
      sample.sentAt > returnedAt &&
      [...versions].some(([product, version]) => (sample.versions.get(product) ?? version) < version),
  );
}

/**
 * The renders that the restart caused: renders by the restarted replica's new process of pages that its old process had
 * in the cache, in a copy that would still have been fresh. Had the old process lived on, they would not have happened.
 *
 * That the old process had a page in the cache is known from its answers: each shows when the page was rendered. The copy
 * would have been fresh until the page's lifetime was over, or until the content change if it shows a changed product.
 *
 * @param {Pick<Observations, 'samples' | 'renders' | 'imageAt' | 'restarted' | 'change'>} observations
 * @returns {import('./fleet.mjs').Render[]}
 */
export function rendersCausedByRestart({ samples, renders, imageAt, restarted, change }) {
  /** @type {Map<string, { renderedAt: number, lifetimeSeconds: number }>} */
  const held = new Map();
  for (const { page, replica, life, renderedAt } of samples) {
    if (replica !== restarted || life !== 0 || renderedAt === undefined) continue;
    const copy = held.get(page.path)?.renderedAt ?? imageAt;
    held.set(page.path, { renderedAt: Math.max(copy, renderedAt), lifetimeSeconds: page.lifetimeSeconds });
  }
  return renders.filter(({ replica, life, path, at }) => {
    const copy = held.get(path);
    if (replica !== restarted || life !== 1 || !copy) return false;
    const changed = change.affected.has(path) && copy.renderedAt < change.changedAt && change.changedAt <= at;
    return !changed && at < copy.renderedAt + copy.lifetimeSeconds * 1000;
  });
}

/** @param {import("./traffic.mjs").Sample} sample */
function cacheOf({ cache }) {
  return cache || "none";
}

/**
 * @param {readonly import("./traffic.mjs").Sample[]} samples
 * @param {string} cache
 */
function latencyOf(samples, cache) {
  const latencies = samples.filter((sample) => cacheOf(sample) === cache).map(({ latencyMs }) => latencyMs);
  return { p50Ms: percentile(latencies, 50), p95Ms: percentile(latencies, 95) };
}

/**
 * @template T
 * @param {readonly T[]} list
 * @param {(element: T) => string} keyOf
 * @returns {Record<string, number>}
 */
function countBy(list, keyOf) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const element of list) {
    const key = keyOf(element);
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
