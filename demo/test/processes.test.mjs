import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Balancer } from "../balancer.mjs";
import { parseMetrics } from "../daemon.mjs";
import { startOrigin } from "../origin.mjs";
import { freePort, onFreePort, start, untilReady } from "../processes.mjs";

const SIGNAL = AbortSignal.timeout(20_000);

/**
 * Starts a Node.js program that is ended with the test.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} script
 */
function startScript(t, script) {
  const dir = mkdtempSync(path.join(tmpdir(), "isrd-demo-test-"));
  const child = start({
    name: "the script",
    command: process.execPath,
    args: ["-e", script],
    cwd: dir,
    env: { ...process.env },
    logFile: path.join(dir, "log"),
  });
  t.after(async () => {
    await child.stop(1000);
    rmSync(dir, { recursive: true });
  });
  return child;
}

test("stopping a child stops what it started, even if nothing of it listens to SIGTERM", async (t) => {
  const server = net.createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  // The grandchild's connection is open as long as it lives.
  const grandchild = `process.on("SIGTERM", () => {}); require("node:net").connect(${port}, "127.0.0.1")`;
  const child = startScript(
    t,
    `process.on("SIGTERM", () => {});
     require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(grandchild)}]);`,
  );
  const [socket] = await once(server, "connection", { signal: SIGNAL });
  socket.on("error", () => {}).resume();
  const closed = once(socket, "close", { signal: SIGNAL });
  await child.stop(100);
  assert.equal(child.ended, "was ended by SIGKILL");
  await closed;
});

test("a child that ends before it is ready is reported at once, with the end of its log", async (t) => {
  const child = startScript(t, `console.log("the port is taken"); process.exit(3)`);
  await assert.rejects(
    untilReady(child, () => Promise.resolve(false), { timeoutMs: 10_000, signal: SIGNAL }),
    /the script exited with code 3; the last lines of its log:\n {4}the port is taken/,
  );
});

test("a child that never gets ready is given up in time", async (t) => {
  const child = startScript(t, "setInterval(() => {}, 1000)");
  await assert.rejects(
    untilReady(child, () => Promise.reject(new Error("refused")), { timeoutMs: 200, signal: SIGNAL }),
    /is not ready after 0.2 s/,
  );
});

test("another port is tried if one is taken, but only for that reason", async () => {
  /** @type {number[]} */
  const tried = [];
  const port = await onFreePort((candidate) => {
    tried.push(candidate);
    return tried.length < 3 ? Promise.reject(new Error("listen EADDRINUSE")) : Promise.resolve(candidate);
  });
  assert.equal(port, tried[2]);
  await assert.rejects(
    onFreePort(() => Promise.reject(new Error("no"))),
    /^Error: no$/,
  );
});

/**
 * @param {import("node:test").TestContext} t
 * @param {http.RequestListener} listener
 * @returns {Promise<number>} its port
 */
async function backend(t, listener) {
  const server = http.createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return /** @type {import("node:net").AddressInfo} */ (server.address()).port;
}

/** @param {import("node:test").TestContext} t */
async function startBalancer(t) {
  const balancer = new Balancer();
  await balancer.listen();
  t.after(() => balancer.close());
  const ask = async () => {
    const response = await fetch(`http://127.0.0.1:${balancer.port}/x`, { signal: SIGNAL });
    return [response.status, response.headers.get("x-shop-replica"), await response.text()];
  };
  return { balancer, ask };
}

test("requests go round, and the answer says whose it is", async (t) => {
  const { balancer, ask } = await startBalancer(t);
  for (const number of [0, 1]) {
    const port = await backend(t, (request, response) => response.end(`${number} ${request.url}`));
    balancer.add({ number, life: number, port });
  }
  assert.deepEqual(
    [await ask(), await ask(), await ask()],
    [
      [200, "0.0", "0 /x"],
      [200, "1.1", "1 /x"],
      [200, "0.0", "0 /x"],
    ],
  );
});

test("a refused connection goes to the next replica and is counted; the replica is left out", async (t) => {
  const { balancer, ask } = await startBalancer(t);
  balancer.add({ number: 0, life: 0, port: await freePort() });
  balancer.add({ number: 1, life: 0, port: await backend(t, (_, response) => response.end("one")) });
  for (let i = 0; i < 4; i++) assert.deepEqual(await ask(), [200, "1.0", "one"]);
  assert.deepEqual(balancer.figures, { forwarded: 4, refusedConnections: 1, failed: 0, nobodyThere: 0 });
});

test("an answer that breaks off is not tried again, and is counted", async (t) => {
  const { balancer, ask } = await startBalancer(t);
  let asked = 0;
  const port = await backend(t, (request) => {
    asked++;
    request.socket.destroy();
  });
  balancer.add({ number: 0, life: 0, port });
  assert.equal((await ask())[0], 502);
  assert.equal(asked, 1);
  assert.equal(balancer.figures.failed, 1);
});

test("without a replica the answer is 503", async (t) => {
  const { balancer, ask } = await startBalancer(t);
  assert.equal((await ask())[0], 503);
  assert.equal(balancer.figures.nobodyThere, 1);
});

test("draining waits for open requests and lets no new one in", async (t) => {
  const { balancer, ask } = await startBalancer(t);
  /** @type {(response: http.ServerResponse) => void} */
  let arrived = () => {};
  const held = new Promise((resolve) => {
    arrived = resolve;
  });
  balancer.add({ number: 0, life: 0, port: await backend(t, (_, response) => arrived(response)) });
  const answer = ask();
  const response = /** @type {http.ServerResponse} */ (await held);
  let drained = false;
  const draining = balancer.drain(0).then(() => {
    drained = true;
  });
  assert.equal((await ask())[0], 503);
  assert.equal(drained, false);
  response.end("late");
  assert.deepEqual(await answer, [200, "0.0", "late"]);
  await draining;
});

test("the origin counts its calls and knows versions", async (t) => {
  const origin = await startOrigin({ seed: 1, minLatencyMs: 0, maxLatencyMs: 1 });
  t.after(() => origin.close());
  const ask = async (/** @type {string} */ what) => {
    const response = await fetch(`${origin.url}${what}`, { signal: SIGNAL });
    return { status: response.status, body: await response.json() };
  };
  assert.equal((await ask("/products/17")).body.version, 1);
  assert.equal(origin.change(17), 2);
  assert.equal((await ask("/products/17")).body.version, 2);
  assert.equal((await ask("/bestsellers")).body.find((/** @type {{ id: number }} */ { id }) => id === 17).version, 2);
  assert.equal((await ask("/products/276")).status, 404);
  assert.equal(origin.calls, 4);
  origin.reset();
  assert.equal(origin.calls, 0);
  assert.equal((await ask("/products/17")).body.version, 1);
});

test("the daemon's own figures are read without histogram buckets", () => {
  const text = [
    "# HELP isrd_gets_total x",
    'isrd_gets_total{space="route",status="hit"} 12',
    'isrd_set_seconds_bucket{le="0.1"} 3',
    "isrd_set_seconds_sum 0.25",
    "go_goroutines 9",
  ].join("\n");
  assert.deepEqual(parseMetrics(text), {
    'isrd_gets_total{space="route",status="hit"}': 12,
    isrd_set_seconds_sum: 0.25,
  });
});
