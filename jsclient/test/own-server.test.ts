import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createNetServer } from "node:net";
import { test } from "node:test";
import { OwnServer } from "../src/own-server.js";
import { runScript } from "./support/process.js";

const NEVER = new AbortController().signal;

async function listening(server: Server, host = "127.0.0.1", port = 0): Promise<number> {
  server.listen(port, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

test("a server is known as soon as it listens, and is connected to by a connection that it has accepted", async (t) => {
  for (const host of ["127.0.0.1", "0.0.0.0", "::", "::1"]) {
    const own = new OwnServer({});
    own.watch();
    const ready = own.ready(NEVER);
    const server = createServer((_request, response) => response.end("mine"));
    t.after(() => server.close());
    const port = await listening(server, host);
    own.add(server); // as Node.js announces since 20.16
    await ready;
    const connection = await own.connect(NEVER);
    assert.equal(connection.port, port);
    connection.socket.destroy();
  }
});

test("nothing is sent to another process that answers on the port", async (t) => {
  const own = new OwnServer({});
  own.watch();
  const server = createServer();
  const port = await listening(server);
  own.add(server);
  // The port goes to somebody else, while this process still believes that it is its own.
  Object.defineProperty(server, "address", { value: () => ({ address: "127.0.0.1", port, family: "IPv4" }) });
  server.removeAllListeners("close").close();
  const script = `
    const { createServer } = await import("node:net");
    let bytes = 0, connections = 0;
    createServer((socket) => { connections += 1; socket.on("error", () => {}).on("data", (data) => { bytes += data.length; }); })
      .listen(${port}, "127.0.0.1");
    const end = () => { console.log(connections > 0, bytes); process.exit(); };
    setTimeout(end, 10_000);
    process.once("SIGUSR2", () => setTimeout(end, 300)); // What has been sent is read first.`;
  const other = runScript(script);
  await reachable(port);
  const abort = new AbortController();
  t.after(() => abort.abort());
  setTimeout(() => abort.abort(), 1500).unref();
  await assert.rejects(own.connect(abort.signal), { code: "unavailable", message: /somebody else answers/ });
  other.signal("SIGUSR2");
  assert.equal((await other).output, "true 0\n");
});

test("of several servers it is the one that PORT names; without it, none", async (t) => {
  const env: NodeJS.ProcessEnv = {};
  const own = new OwnServer(env);
  own.watch();
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    t.after(() => server.close());
    ports.push(await listening(server));
    own.add(server);
  }
  await assert.rejects(own.connect(NEVER), { message: /several HTTP servers \(ports \d+, \d+\): set PORT/ });
  env["PORT"] = String(ports[1]);
  const { socket, port } = await own.connect(NEVER);
  socket.destroy();
  assert.equal(port, ports[1]);
});

test("a server that was closed, one of another protocol and one at a path are none", async (t) => {
  const own = new OwnServer({});
  const closed = createServer();
  await listening(closed);
  own.add(closed);
  assert.equal(own.known, true);
  await new Promise((resolve) => closed.close(resolve));
  const plain = createNetServer();
  t.after(() => plain.close());
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  own.add(plain);
  own.add(undefined);
  own.add(createServer());
  assert.equal(own.known, false);
  await assert.rejects(own.connect(NEVER), { message: /no HTTP server/ });
  await own.ready(AbortSignal.timeout(10));
});

/** Waits until somebody answers on a port. */
async function reachable(port: number): Promise<void> {
  const { connect } = await import("node:net");
  for (let tries = 0; tries < 200; tries++) {
    const socket = connect(port, "127.0.0.1");
    const stands = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (stands) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`nobody answers on port ${port}`);
}
