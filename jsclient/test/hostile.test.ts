import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Socket } from "node:net";
import { after, describe, type TestContext, test } from "node:test";
import { dialGrpc } from "../src/grpc-transport.js";
import type { HostGetContext } from "../src/next/values.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { serveGrpc, socketDirectory } from "./support/grpc-daemon.js";
import { type FakeHost, startHost } from "./support/host.js";
import { startRealDaemon } from "./support/real-daemon.js";
import { atOnce, timed, until } from "./support/until.js";
import { appPage, route } from "./support/values.js";

const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
const hour = { ...PAGE, cacheControl: { revalidate: 3600, expire: 7200 } };

function connect(t: TestContext, address: string, env: NodeJS.ProcessEnv = {}): FakeHost {
  const host = startHost({ dial: dialGrpc, env: { ISRD_ADDRESS: address, ...env } });
  t.after(() => host.close());
  return host;
}

describe("over gRPC", () => {
  const directory = socketDirectory();
  let sockets = 0;
  const newSocket = (): string => `${directory.path}/${(sockets += 1)}.sock`;
  after(() => directory.remove());

  test("a message that is too large for the daemon fails alone: the stream and all that is on it go on", async (t) => {
    const daemon = new FakeDaemon();
    daemon.welcome = { maxEntryBytes: 1n << 30n };
    const served = await serveGrpc(daemon, `unix:${newSocket()}`, 1024 * 1024);
    t.after(served.stop);
    const host = connect(t, served.address, { ISRD_TIMEOUT_MS: "3000" });
    await host.handler().get("/small", PAGE);
    await host.handler().set("/small", appPage("small"), hour);
    await host.handler().get("/large", PAGE);
    const others = Array.from({ length: 200 }, () => host.handler().get("/small", PAGE));
    await host.handler().set("/large", route(Buffer.alloc(2 * 1024 * 1024)), hour);
    for (const answer of await Promise.all(others)) assert.deepEqual(answer?.value, appPage("small"));
    assert.ok(await host.handler().get("/small", PAGE));
    assert.equal(daemon.frames("hello").length, 1, "one session from the first to the last");
    assert.match(host.log.lines.at(-1) ?? "", /"\/large" is not cached: .*larger than max/);
  });

  test("an answer that is too large for its sender fails alone too", async (t) => {
    const daemon = new FakeDaemon();
    const served = await serveGrpc(daemon, `unix:${newSocket()}`);
    t.after(served.stop);
    const host = connect(t, served.address, { ISRD_TIMEOUT_MS: "1000" });
    daemon.callUnary = () => Buffer.alloc(65 * 1024 * 1024);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get" || frame.value.key?.name !== "/large") return false;
      const version = { epoch: 7n, seq: 1n, token: 1n };
      answer({ case: "get", value: { status: 1, version, base: version, entry: { kind: 3 }, aside: { bytes: 9n } } });
      return true;
    };
    await host.handler().get("/small", PAGE);
    await host.handler().set("/small", appPage("small"), hour);
    const large = host.handler().get("/large", PAGE);
    assert.ok(await host.handler().get("/small", PAGE));
    assert.equal(await large, null);
    assert.ok(await host.handler().get("/small", PAGE));
    assert.equal(daemon.frames("hello").length, 1);
  });

  test("3000 questions at once are answered over one stream, in bounded memory", async (t) => {
    const served = await serveGrpc(new FakeDaemon(), `unix:${newSocket()}`);
    t.after(served.stop);
    const host = connect(t, served.address, { ISRD_TIMEOUT_MS: "10000" });
    await host.handler().get("/page", PAGE);
    await host.handler().set("/page", appPage("x".repeat(10_000)), hour);
    const answers = await Promise.all(Array.from({ length: 3000 }, () => host.handler().get("/page", PAGE)));
    assert.equal(answers.filter(Boolean).length, 3000);
  });

  test("somebody who accepts and says nothing costs one deadline", async (t) => {
    const open = new Set<Socket>();
    const server = createServer((socket) => void open.add(socket.resume().on("error", () => {})));
    const path = newSocket();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
    const host = connect(t, `unix:${path}`);
    const first = await timed(() => host.handler().get("/a", PAGE));
    assert.ok(first.ms >= 195 && first.ms < 950, `took ${first.ms} ms; the attempt itself goes on for a second`);
    await atOnce(20, () => host.handler().get("/a", PAGE));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const alive = [...open].filter((socket) => !socket.destroyed).length;
    assert.ok(alive <= 2, `${alive} sockets are left open`);
  });

  test("somebody who speaks something else is refused or unavailable, in one line", async (t) => {
    const server = createHttpServer((_request, response) => response.end("hello"));
    const path = newSocket();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => server.close());
    const host = connect(t, `unix:${path}`);
    for (let i = 0; i < 5; i++) assert.equal(await host.handler().get("/a", PAGE), null);
    await until("it is said", () => host.log.lines.length > 0);
    assert.equal(host.log.lines.length, 1);
  });

  test("a gRPC server that is no isrd is refused, and the line says so", async (t) => {
    const { Server, ServerCredentials } = await import("@grpc/grpc-js");
    const server = new Server();
    const path = newSocket();
    await new Promise<void>((resolve) =>
      server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), () => resolve()),
    );
    t.after(() => server.forceShutdown());
    const host = connect(t, `unix:${path}`);
    assert.equal(await host.handler().get("/a", PAGE), null);
    await until("it is said", () => host.log.lines.length > 0);
    assert.match(host.log.lines[0] ?? "", /is no isrd daemon/);
  });

  test("a path that is no socket, and one that is not there, are said in words", async (t) => {
    const { writeFileSync } = await import("node:fs");
    const file = newSocket();
    writeFileSync(file, "");
    for (const [path, words] of [
      [file, /is not a socket|nobody listens/],
      [newSocket(), /there is no socket at/],
    ] as const) {
      const host = connect(t, `unix:${path}`);
      assert.equal(await host.handler().get("/a", PAGE), null);
      assert.match(host.log.lines[0] ?? "", words);
    }
  });

  test("the token goes with every call: on the session and beside it", async (t) => {
    const daemon = new FakeDaemon();
    daemon.token = "s3cret";
    const served = await serveGrpc(daemon, `unix:${newSocket()}`);
    t.after(served.stop);
    const host = connect(t, served.address, { ISRD_TOKEN: "s3cret" });
    await host.handler().get("/a", PAGE);
    assert.equal(host.runtime.session.state, "ready");
    const other = connect(t, served.address, { ISRD_TOKEN: "guess" });
    assert.equal(await other.handler().get("/a", PAGE), null);
    await until("it is refused", () => other.log.lines.length > 0);
    assert.match(other.log.lines[0] ?? "", /wrong token/);
  });
});

describe("the real daemon", () => {
  test("stopped by SIGSTOP: every get is answered within the deadline; continued: it is used again", async (t) => {
    const daemon = await startRealDaemon();
    t.after(daemon.stop);
    const host = connect(t, daemon.address);
    await host.handler().get("/page", PAGE);
    await host.handler().set("/page", appPage("page"), hour);
    assert.ok(await host.handler().get("/page", PAGE));
    daemon.process.kill("SIGSTOP");
    const durations: number[] = [];
    for (let i = 0; i < 100; i++) durations.push((await timed(() => host.handler().get("/page", PAGE))).ms);
    assert.ok(Math.max(...durations) < 950, `the slowest took ${Math.max(...durations)} ms`);
    assert.ok(durations.filter((ms) => ms > 150).length <= 2, "only the first pays");
    daemon.process.kill("SIGCONT");
    await until("it is used again", () => host.runtime.session.state === "ready", 5000);
    assert.ok(await host.handler().get("/page", PAGE), "with its entries");
  });

  test("killed and started anew: no error meanwhile, back without a restart of the process", async (t) => {
    const directory = socketDirectory();
    t.after(directory.remove);
    const socket = `${directory.path}/isrd.sock`;
    const first = await startRealDaemon({ socket });
    t.after(first.stop);
    const host = connect(t, first.address);
    await host.handler().get("/page", PAGE);
    await host.handler().set("/page", appPage("page"), hour);
    first.process.kill("SIGKILL");
    await until("it has gone", () => host.runtime.session.state === "away");
    assert.equal(await host.handler().get("/page", PAGE), null);
    await host.handler().set("/page", appPage("meanwhile"), hour);
    assert.deepEqual((await host.handler().get("/page", PAGE))?.value, appPage("meanwhile"));
    await host.handler().revalidateTag("products");
    const second = await startRealDaemon({ socket });
    t.after(second.stop);
    await until("it is back", () => host.runtime.session.state === "ready", 5000);
    assert.equal(host.runtime.session.undelivered, 0);
    assert.equal(await host.handler().get("/page", PAGE), null, "a new daemon with an empty store");
    await host.handler().set("/page", appPage("again"), hour);
    assert.deepEqual((await host.handler().get("/page", PAGE))?.value, appPage("again"));
    assert.deepEqual(
      host.log.lines.map((line) => line.split(/[:(]/)[0]?.trim()),
      ["info connected to unix", "warn unavailable", "info connected to unix"],
    );
  });
});
