// The shop's backend: an HTTP API with latency, which counts its calls.
import { once } from "node:events";
import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { bestsellers, category, isCategory, isProduct, navigation, product, reviews } from "./catalogue.mjs";
import { seededRandom } from "./random.mjs";

/**
 * Starts the origin on a free port of 127.0.0.1.
 *
 * @param {object} options
 * @param {number} options.seed of the latencies
 * @param {number} [options.minLatencyMs] default 60
 * @param {number} [options.maxLatencyMs] default 120
 * @returns {Promise<Origin>}
 */
export async function startOrigin({ seed, minLatencyMs = 60, maxLatencyMs = 120 }) {
  const origin = new Origin(() => minLatencyMs + random() * (maxLatencyMs - minLatencyMs));
  const random = seededRandom(seed);
  await origin.listen();
  return origin;
}

/** The origin: every product has a version, which begins at 1. Made by startOrigin. */
export class Origin {
  /** @type {Map<number, number>} */
  #versions = new Map();
  #calls = 0;
  #latency;
  #server;

  /** @param {() => number} latency the latency of the next answer, in milliseconds */
  constructor(latency) {
    this.#latency = latency;
    this.#server = http.createServer((request, response) => {
      this.#answer(request, response).catch((error) => response.destroy(error));
    });
  }

  /** @returns {Promise<void>} once it listens */
  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** Where it listens, such as `http://127.0.0.1:41234`. */
  get url() {
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${address.port}`;
  }

  /** Calls answered or being answered since the last reset. */
  get calls() {
    return this.#calls;
  }

  /** Takes back every change and counts from zero. */
  reset() {
    this.#versions.clear();
    this.#calls = 0;
  }

  /**
   * @param {number} id
   * @returns {number} the product's version
   */
  versionOf = (id) => this.#versions.get(id) ?? 1;

  /**
   * Changes a product: every call that starts after this one sees the new version.
   *
   * @param {number} id
   * @returns {number} the new version
   */
  change(id) {
    const version = this.versionOf(id) + 1;
    this.#versions.set(id, version);
    return version;
  }

  /** Closes every connection. */
  async close() {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /**
   * The data is read when the call arrives, and travels as long as a real one would.
   *
   * @param {http.IncomingMessage} request
   * @param {http.ServerResponse} response
   */
  async #answer(request, response) {
    this.#calls++;
    const body = this.#read(request.url ?? "/");
    await delay(this.#latency());
    response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(body ?? { error: "not found" }));
  }

  /** @param {string} path */
  #read(path) {
    const [, kind, number, detail] = path.split("/");
    const id = Number(number);
    if (kind === "navigation") return navigation();
    if (kind === "bestsellers") return bestsellers(this.versionOf);
    if (kind === "categories" && isCategory(id)) return category(id, this.versionOf);
    if (kind === "products" && isProduct(id))
      return detail === "reviews" ? reviews(id) : product(id, this.versionOf(id));
    return undefined;
  }
}
