// The visitors: which page is asked for when is decided before the first request, from the seed alone.
import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { seededRandom, shuffle } from "./random.mjs";
import { zipf } from "./statistics.mjs";

const EXPONENT = 0.9;
const REQUEST_TIMEOUT_MS = 10_000;
const MOST_OPEN = 256;

/**
 * A request to be made.
 *
 * @typedef {object} Visit
 * @property {import('./pages.mjs').Page} page
 * @property {number} dueMs when, in milliseconds after the first
 */

/**
 * What came of a request.
 *
 * @typedef {object} Sample
 * @property {import('./pages.mjs').Page} page
 * @property {number} sentAt when it was sent, on the clock of `performance.now()`
 * @property {number} latencyMs from when it was due until the last byte, so that a queue counts
 * @property {number} status 0: there was no answer, or only a part of one
 * @property {string} cache what `x-nextjs-cache` said; empty if it was not there
 * @property {number | undefined} replica who answered
 * @property {number | undefined} life in which of its lives
 * @property {number | undefined} renderedAt when the page was rendered, in milliseconds since 1970, as it says itself
 * @property {Map<number, number>} versions the version of each product that the page shows
 */

/**
 * Plans the traffic: Zipf over the pages in a random order of popularity, arriving at random (Poisson) at the given rate.
 *
 * @param {readonly import('./pages.mjs').Page[]} pages
 * @param {{ seed: number, requests: number, rate: number }} options rate: requests per second, on average
 * @returns {Visit[]} in order of time
 */
export function planTraffic(pages, { seed, requests, rate }) {
  const random = seededRandom(seed);
  const byPopularity = shuffle(pages, random);
  const draw = zipf(pages.length, EXPONENT);
  let dueMs = 0;
  return Array.from({ length: requests }, () => {
    const page = /** @type {import('./pages.mjs').Page} */ (byPopularity[draw(random)]);
    const visit = { page, dueMs };
    dueMs += (-Math.log(1 - random()) / rate) * 1000;
    return visit;
  });
}

/**
 * Makes the planned requests, each when it is due whether or not earlier ones have been answered (an open loop), with at
 * most 256 open.
 *
 * @param {readonly Visit[]} plan
 * @param {object} options
 * @param {number} options.port where the balancer listens on 127.0.0.1
 * @param {(index: number) => void} options.onDue called before each request is made
 * @param {(sample: Sample) => void} options.onAnswer called after each
 * @param {AbortSignal} options.signal
 * @returns {Promise<Sample[]>} one for each, in the order of the answers
 */
export async function runTraffic(plan, { port, onDue, onAnswer, signal }) {
  const agent = new http.Agent({ keepAlive: true });
  /** @type {Sample[]} */
  const samples = [];
  /** @type {Set<Promise<void>>} */
  const open = new Set();
  try {
    const startedAt = performance.now();
    for (const [index, { page, dueMs }] of plan.entries()) {
      const dueAt = startedAt + dueMs;
      const early = dueAt - performance.now();
      if (early >= 1) await delay(early, undefined, { signal });
      while (open.size >= MOST_OPEN) await Promise.race(open);
      signal.throwIfAborted();
      onDue(index);
      const visit = get(page, { port, agent, dueAt }).then((sample) => {
        samples.push(sample);
        onAnswer(sample);
        open.delete(visit);
      });
      open.add(visit);
    }
    await Promise.all(open);
    signal.throwIfAborted();
    return samples;
  } finally {
    agent.destroy();
  }
}

/**
 * Makes one request.
 *
 * @param {import('./pages.mjs').Page} page
 * @param {{ port: number, agent: http.Agent, dueAt: number }} options
 * @returns {Promise<Sample>} never rejects
 */
function get(page, { port, agent, dueAt }) {
  const sentAt = performance.now();
  return new Promise((resolve) => {
    /** @param {Partial<Sample>} answer */
    const done = (answer) =>
      resolve({
        page,
        sentAt,
        latencyMs: performance.now() - dueAt,
        status: 0,
        cache: "",
        replica: undefined,
        life: undefined,
        renderedAt: undefined,
        versions: new Map(),
        ...answer,
      });
    const request = http.get({ host: "127.0.0.1", port, path: page.path, agent }, (response) => {
      let html = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        html += chunk;
      });
      response.once("close", () => done(response.complete ? { ...readHead(response), ...readPage(html) } : {}));
    });
    const timer = setTimeout(() => request.destroy(new Error("timed out")), REQUEST_TIMEOUT_MS);
    request.once("close", () => clearTimeout(timer));
    request.once("error", () => done({}));
  });
}

/** @param {http.IncomingMessage} response */
function readHead({ statusCode, headers }) {
  const [replica, life] = String(headers["x-shop-replica"] ?? "").split(".");
  return {
    status: statusCode ?? 0,
    cache: String(headers["x-nextjs-cache"] ?? ""),
    replica: replica ? Number(replica) : undefined,
    life: life ? Number(life) : undefined,
  };
}

/**
 * Reads what a page says of itself.
 *
 * @param {string} html
 * @returns {Pick<Sample, 'renderedAt' | 'versions'>}
 */
export function readPage(html) {
  const renderedAt = /data-rendered-at="(\d+)"/.exec(html)?.[1];
  const versions = new Map();
  for (const [, product, version] of html.matchAll(/data-product="(\d+)" data-version="(\d+)"/g)) {
    versions.set(Number(product), Number(version));
  }
  return { renderedAt: renderedAt ? Number(renderedAt) : undefined, versions };
}
