import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startHost } from "./support/host.js";
import { ABSENT, hour, PAGE, ready, scene } from "./support/scene.js";
import { atOnce, timed, until } from "./support/until.js";
import { appPage, route } from "./support/values.js";

describe("connecting", () => {
  test("nothing is connected before the first use", (t) => {
    const { host, peer } = scene(t);
    host.handler();
    assert.equal(peer.dials, 0);
    assert.equal(host.runtime.session.state, "idle");
  });

  test("the greeting says who this is, and the session follows the welcome", async (t) => {
    const { daemon, host } = await ready(t, { ISRD_TOKEN: "t0ken" });
    const [hello] = daemon.frames("hello");
    assert.equal(hello?.app, "shop");
    assert.deepEqual([hello?.build?.buildId, hello?.token, hello?.protocolMin], ["build-1", "t0ken", 1]);
    assert.equal(hello?.maxMessageBytes, 64n * 1024n * 1024n);
    assert.deepEqual(host.runtime.session.position, { $typeName: "isrd.v1.Position", ...daemon.store.position() });
    assert.deepEqual(host.log.lines, ["info connected to unix:/nowhere.sock"]);
  });

  test("calls in the first moment share one connection", async (t) => {
    const { host, peer } = scene(t);
    await Promise.all(["/a", "/b", "/c"].map((key) => host.handler().get(key, PAGE)));
    assert.equal(peer.dials, 1);
  });

  test("a daemon that sends no welcome costs one deadline, once", async (t) => {
    const { host } = scene(t, { ISRD_TIMEOUT_MS: "200" }, (daemon) => {
      daemon.intercept = ({ frame }) => frame.case === "hello";
    });
    const first = await timed(() => host.handler().get("/a", PAGE));
    assert.equal(first.result, null);
    assert.ok(first.ms >= 190 && first.ms < 950, `took ${first.ms} ms; the attempt itself goes on for a second`);
    await atOnce(20, () => host.handler().get("/a", PAGE));
  });

  test("a dial that never ends costs one deadline, and is given up", async (t) => {
    let aborted = 0;
    const host = startHost({
      env: { ISRD_TIMEOUT_MS: "100" },
      dial: (_address, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            aborted += 1;
            reject(ABSENT);
          });
        }),
    });
    t.after(() => host.close());
    const { result, ms } = await timed(() => host.handler().get("/a", PAGE));
    assert.equal(result, null);
    assert.ok(ms < 950, `took ${ms} ms`);
    const keepAlive = setTimeout(() => {}, 3000);
    await until("the attempt is given up", () => aborted > 0);
    clearTimeout(keepAlive);
  });
});

describe("the connection", () => {
  test("keeps the process alive only while something is asked", async (t) => {
    const { host, peer } = await ready(t);
    await until("the set is acknowledged", () => !peer.alive);
    const answer = host.handler().get("/page", PAGE);
    assert.equal(peer.alive, true);
    await answer;
    assert.equal(peer.alive, false);
  });

  test("breaks: what was asked is a miss, and the next question finds a new one", async (t) => {
    const { host, daemon, peer } = await ready(t);
    daemon.intercept = ({ frame }) => {
      if (frame.case !== "get") return false;
      daemon.intercept = undefined;
      daemon.disconnectAll();
      return true;
    };
    assert.equal(await host.handler().get("/page", PAGE), null);
    assert.ok(await host.handler().get("/page", PAGE));
    assert.equal(peer.dials, 2);
    assert.equal(host.log.lines.length, 1, "a connection that is back at once is not worth a line");
  });

  test("a daemon that goes away lets open questions end, and is asked anew elsewhere", async (t) => {
    const { host, daemon, peer } = await ready(t);
    let answerLate: (() => void) | undefined;
    daemon.intercept = (request, answer) => {
      if (request.frame.case !== "get" || request.frame.value.key?.name !== "/late") return false;
      answerLate = () => answer({ case: "get", value: { status: 3 } });
      return true;
    };
    const late = host.handler().get("/late", PAGE);
    await until("it is asked", () => answerLate !== undefined);
    daemon.announce({ case: "goAway", value: { reason: "restart", reconnectAfterMs: 0 } });
    await until("a new connection is there", () => peer.dials === 2 && host.runtime.session.state === "ready");
    assert.ok(await host.handler().get("/page", PAGE));
    assert.equal(daemon.connections, 2, "the old one still has a question");
    answerLate?.();
    assert.equal(await late, null);
    assert.equal(host.runtime.client.counters.timeouts + host.runtime.client.counters.unavailable, 0);
    await until("the old one ends", () => daemon.connections === 1);
  });

  test("a daemon that wants time is given it", async (t) => {
    const { host, daemon, peer } = await ready(t, { ISRD_TIMEOUT_MS: "2000" });
    daemon.announce({ case: "goAway", value: { reason: "upgrade", reconnectAfterMs: 1500 } });
    await until("it is heard", () => host.runtime.session.state === "away");
    const { ms } = await timed(() => host.handler().get("/page", PAGE));
    assert.ok(ms < 1000, `took ${ms} ms`);
    assert.equal(peer.dials, 1);
    await until("it is back", () => host.runtime.session.state === "ready");
    assert.equal(peer.dials, 2);
  });

  test("a frame that cannot be read is left out, the others are not", async (t) => {
    const { host, daemon } = await ready(t);
    const accepted: Array<(bytes: Buffer) => void> = [];
    const accept = daemon.accept.bind(daemon);
    daemon.accept = (p) => {
      accepted.push((bytes) => p.send(bytes));
      return accept(p);
    };
    daemon.disconnectAll();
    await until("a new connection is there", () => accepted.length === 1 && host.runtime.session.state === "ready");
    accepted[0]?.(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
    for (let i = 0; i < 3; i++) assert.ok(await host.handler().get("/page", PAGE));
    assert.match(host.log.lines.at(-1) ?? "", /a frame could not be read/);
  });

  test("an answer that cannot be read is a miss at once, and withdrawn: there may be a lease in it", async (t) => {
    const { host, daemon } = await ready(t, { ISRD_TIMEOUT_MS: "2000" });
    const accept = daemon.accept.bind(daemon);
    daemon.accept = (peer) => {
      daemon.intercept = ({ id, frame }) => {
        // The id, then the answer's field with a length beyond the end.
        if (frame.case === "get") peer.send(Buffer.from([0x08, Number(id), 0x12 + 0x08, 0x7f, 0xff]));
        return frame.case === "get";
      };
      return accept(peer);
    };
    daemon.disconnectAll();
    await until("a new connection is there", () => daemon.frames("hello").length === 2);
    const { result, ms } = await timed(() => host.handler().get("/page", PAGE));
    assert.equal(result, null);
    assert.ok(ms < 1000, `took ${ms} ms`);
    assert.equal(host.runtime.client.counters.unreadable, 1);
    await until("it is withdrawn", () => daemon.frames("cancel").length === 1);
  });

  test("frames of a later version are ignored", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.announce({ case: "job", value: { jobId: "1", path: "/" } });
    daemon.announce({ case: undefined } as never);
    assert.ok(await host.handler().get("/page", PAGE));
  });

  test("a full queue is a miss at once, never growth", async (t) => {
    const { host, peer } = await ready(t, { ISRD_TIMEOUT_MS: "2000" });
    peer.queue = 0;
    const { result, ms } = await timed(() => host.handler().get("/page", PAGE));
    assert.equal(result, null);
    assert.ok(ms < 1000, `took ${ms} ms`);
    assert.equal(host.runtime.client.counters.overloads, 1);
    peer.queue = Number.POSITIVE_INFINITY;
    assert.ok(await host.handler().get("/page", PAGE));
  });

  test("a wrong token: one line that says what to do, and no hammering", async (t) => {
    const { host, peer } = scene(t, { ISRD_TOKEN: "wrong" }, (daemon) => {
      daemon.token = "right";
    });
    for (let i = 0; i < 20; i++) assert.equal(await host.handler().get("/page", PAGE), null);
    await until("it is refused", () => host.log.lines.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(host.log.lines.length, 1);
    assert.match(host.log.lines[0] ?? "", /^warn refused by the daemon: wrong token .*set ISRD_TOKEN/);
    assert.ok(peer.dials < 10);
  });

  test("an address that cannot be understood: one line that says what to write, and misses", async (t) => {
    const { host, peer } = scene(t, { ISRD_ADDRESS: "http://isrd" });
    for (let i = 0; i < 5; i++) assert.equal(await host.handler().get("/page", PAGE), null);
    await host.handler().set("/page", appPage("x"), hour);
    assert.ok(await host.handler().get("/page", PAGE), "kept in this process");
    assert.equal(peer.dials, 0);
    assert.equal(host.log.lines.length, 1);
    assert.match(host.log.lines[0] ?? "", /^warn ISRD_ADDRESS is "http:\/\/isrd": expected unix:/);
  });

  test("a daemon of another protocol is refused", async (t) => {
    const { host } = scene(t, {}, (daemon) => {
      daemon.welcome = { protocol: 2 };
    });
    assert.equal(await host.handler().get("/page", PAGE), null);
    assert.match(host.log.lines[0] ?? "", /protocol 2, not 1/);
  });
});

describe("events", () => {
  test("are acknowledged with the position they reach; a reset too", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.revalidate({ revalidations: [] });
    const { position } = daemon.store;
    await until("they are acknowledged", () => daemon.frames("eventsAck").length === 1);
    assert.equal(daemon.frames("eventsAck")[0]?.position?.seq, position.call(daemon.store).seq);
    daemon.announce({ case: "reset", value: { position: { epoch: 9n, seq: 1n, nonce: "x" }, reason: "test" } });
    await until("the reset is acknowledged", () => daemon.frames("eventsAck").length === 2);
    assert.equal(host.runtime.session.position?.epoch, 9n);
  });

  test("a body from beside the stream waits for the events that it was judged with", async (t) => {
    const { host, daemon } = scene(t, { ISRD_TIMEOUT_MS: "400" }, (d) => {
      d.welcome = { pingIntervalMs: 60_000 }; // A pong would tell the position too.
    });
    await host.handler().get("/big", PAGE);
    await host.handler().set("/big", route(Buffer.alloc(400_000, "x")), hour);
    assert.deepEqual(daemon.unary, ["set"]);
    const event = daemon.store.revalidate([{ tag: "other" } as never]);
    let answered = false;
    const answer = host
      .handler()
      .get("/big", PAGE)
      .then((value) => {
        answered = true;
        return value;
      });
    await until("the body is fetched", () => daemon.unary.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(answered, false);
    daemon.announce({ case: "events", value: { events: [event] } });
    assert.ok(await answer);
  });
});
