// A round-robin load balancer: an HTTP reverse proxy that leaves out replicas that drain or refuse connections.
import { once } from "node:events";
import http from "node:http";
import { answersOk, DemoError } from "./processes.mjs";
import { within } from "./within.mjs";

const HEALTH_INTERVAL_MS = 500;
const DRAIN_TIMEOUT_MS = 15_000;

/**
 * @typedef {object} Backend
 * @property {number} port
 * @property {number} life
 * @property {boolean} healthy
 * @property {number} open requests that are being answered
 */

/**
 * The response says in `x-shop-replica` who answered, as `<replica>.<life>`.
 *
 * Nothing is tried twice, with one exception: a replica that refuses the connection has not seen the request, so the next
 * one gets it (if it has no body), the replica is left out until its health check succeeds, and
 * `figures.refusedConnections` grows. A replica that is merely slow stays in: were it left out, the others would be slower.
 */
export class Balancer {
  /** @type {Map<number, Backend>} */
  #backends = new Map();
  #turn = 0;
  #agent = new http.Agent({ keepAlive: true });
  #server = http.createServer((request, response) => this.#forward(request, response));
  /** @type {NodeJS.Timeout | undefined} */
  #health;

  /** Counted since the start. */
  figures = { forwarded: 0, refusedConnections: 0, failed: 0, nobodyThere: 0 };

  /** Listens on a free port of 127.0.0.1, and asks twice a second whether a replica that was left out is back. */
  async listen() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.#health = setInterval(() => this.#checkHealth(), HEALTH_INTERVAL_MS);
  }

  get port() {
    return /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port;
  }

  /**
   * Takes a replica in that answers.
   *
   * @param {{ number: number, life: number, port: number }} replica
   */
  add({ number, life, port }) {
    this.#backends.set(number, { port, life, healthy: true, open: 0 });
  }

  /**
   * Sends a replica no more requests, as an orchestrator does before it stops one.
   *
   * @param {number} number
   * @returns {Promise<void>} once it has answered those that it has
   */
  async drain(number) {
    const backend = this.#backends.get(number);
    if (!backend) return;
    this.#backends.delete(number);
    const drained = async (/** @type {AbortSignal} */ signal) => {
      while (backend.open > 0) await once(this.#server, "answered", { signal });
    };
    await within(DRAIN_TIMEOUT_MS, drained).catch(() => {
      throw new DemoError(
        `replica ${number} has ${backend.open} requests open after ${DRAIN_TIMEOUT_MS / 1000} s of draining`,
      );
    });
  }

  /** Closes every connection. */
  async close() {
    clearInterval(this.#health);
    this.#agent.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** @returns {[number, Backend] | undefined} whose turn it is */
  #next() {
    const healthy = [...this.#backends].filter(([, backend]) => backend.healthy).sort(([a], [b]) => a - b);
    return healthy[this.#turn++ % healthy.length];
  }

  /**
   * @param {http.IncomingMessage} request
   * @param {http.ServerResponse} response
   */
  #forward(request, response) {
    const turn = this.#next();
    if (!turn) {
      this.figures.nobodyThere++;
      response.writeHead(503).end("no replica is there\n");
      return;
    }
    const [number, backend] = turn;
    const { method, url, headers } = request;
    const onward = http.request({
      host: "127.0.0.1",
      port: backend.port,
      agent: this.#agent,
      method,
      path: url,
      headers,
    });
    backend.open++;
    onward.once("close", () => {
      backend.open--;
      this.#server.emit("answered");
    });
    onward.once("response", (answer) => {
      this.figures.forwarded++;
      response.writeHead(answer.statusCode ?? 502, {
        ...answer.headers,
        "x-shop-replica": `${number}.${backend.life}`,
      });
      answer.pipe(response);
      answer.once("error", () => response.destroy());
    });
    onward.once("error", (error) => this.#failed(error, turn, request, response));
    response.once("close", () => {
      if (!response.writableFinished) onward.destroy();
    });
    request.pipe(onward);
  }

  /**
   * @param {Error} error
   * @param {[number, Backend]} turn who should have answered
   * @param {http.IncomingMessage} request
   * @param {http.ServerResponse} response
   */
  #failed(error, [number, backend], request, response) {
    const refused = /** @type {NodeJS.ErrnoException} */ (error).code === "ECONNREFUSED";
    if (refused && !response.headersSent && request.method === "GET") {
      this.figures.refusedConnections++;
      backend.healthy = false;
      this.#forward(request, response);
      return;
    }
    this.figures.failed++;
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end(`replica ${number}: ${error.message}\n`);
  }

  #checkHealth() {
    for (const backend of this.#backends.values()) {
      if (backend.healthy) continue;
      answersOk(`http://127.0.0.1:${backend.port}/api/health`).then(
        (ok) => {
          backend.healthy = ok;
        },
        () => {}, // still away
      );
    }
  }
}
