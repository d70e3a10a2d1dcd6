import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { IsrdError } from "../src/errors.js";
import { Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { Space } from "../src/gen/isrd/v1/entry_pb.js";
import type { Handler } from "../src/handler.js";
import type { HostGetContext } from "../src/next/values.js";
import { type Batch, Outbox } from "../src/outbox.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { type FakeHost, startHost } from "./support/host.js";
import { dialMemory, type MemoryPeer } from "./support/memory-transport.js";
import { timed, until } from "./support/until.js";
import { appPage, fetched, route } from "./support/values.js";

const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
const hour = { ...PAGE, cacheControl: { revalidate: 3600, expire: 7200 } };
const ABSENT = new IsrdError("unavailable", "nobody listens");

interface Scene {
  daemon: FakeDaemon;
  host: FakeHost;
  peer: MemoryPeer;
}

function scene(
  t: TestContext,
  env: NodeJS.ProcessEnv = {},
  prepare?: (daemon: FakeDaemon, peer: MemoryPeer) => void,
): Scene {
  const daemon = new FakeDaemon();
  const { dial, peer } = dialMemory(daemon);
  prepare?.(daemon, peer);
  // The near cache has tests of its own; here every get is to reach the session.
  const host = startHost({ dial, env: { ISRD_TIMEOUT_MS: "300", ISRD_NEAR_CACHE_BYTES: "0", ...env } });
  t.after(() => host.close());
  return { daemon, host, peer };
}

/** A session that is ready and has one page. */
async function ready(t: TestContext, env: NodeJS.ProcessEnv = {}): Promise<Scene> {
  const all = scene(t, env);
  await all.host.handler().get("/page", PAGE);
  await all.host.handler().set("/page", appPage("page"), hour);
  assert.equal(all.host.runtime.session.state, "ready");
  return all;
}

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
    const { host } = scene(t, {}, (daemon) => {
      daemon.intercept = ({ frame }) => frame.case === "hello";
    });
    const first = await timed(() => host.handler().get("/a", PAGE));
    assert.equal(first.result, null);
    assert.ok(first.ms >= 290 && first.ms < 900, `took ${first.ms} ms`);
    const second = await timed(() => host.handler().get("/a", PAGE));
    assert.ok(second.ms < 150, `took ${second.ms} ms`);
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
    assert.ok(ms < 600, `took ${ms} ms`);
    const keepAlive = setTimeout(() => {}, 3000);
    await until("the attempt is given up", () => aborted > 0);
    clearTimeout(keepAlive);
  });
});

describe("a daemon that is away", () => {
  test("absent: misses at once, one line in the log, and one more when it is back", async (t) => {
    const { host, peer, daemon } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    for (let i = 0; i < 50; i++) {
      const { result, ms } = await timed(() => host.handler().get(`/${i}`, PAGE));
      assert.equal(result, null);
      assert.ok(ms < 150, `get ${i} took ${ms} ms`);
    }
    assert.equal(host.runtime.session.state, "away");
    assert.equal(host.log.lines.length, 1);
    assert.match(host.log.lines[0] ?? "", /^warn unavailable: nobody listens;/);
    peer.refuse = undefined;
    await until("it is found again", () => host.runtime.session.state === "ready");
    assert.equal(host.log.lines.length, 2);
    assert.equal(host.log.lines[1], "info connected to unix:/nowhere.sock");
    assert.equal(daemon.connections, 1);
  });

  test("the attempts become fewer, and never stop", async (t) => {
    const { host, peer } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    await host.handler().get("/a", PAGE);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(peer.dials >= 3 && peer.dials < 40, `${peer.dials} attempts in 1.5 s`);
    const before = peer.dials;
    await until("it tries again", () => peer.dials > before);
  });

  test("its own entries are kept meanwhile, judged by its own revalidations, and dropped when it is back", async (t) => {
    const { host, peer, daemon } = await ready(t);
    peer.refuse = ABSENT;
    daemon.disconnectAll();
    await until("it is known to be away", () => host.runtime.session.state === "away");

    assert.equal(await host.handler().get("/page", PAGE), null, "what was set before is the daemon's alone");
    const page = appPage("mine", "tag");
    await host.handler().set("/page", page, hour);
    const kept = await host.handler().get("/page", PAGE);
    assert.equal(kept?.value, page, "the very value");
    assert.deepEqual(kept?.cacheControl, { revalidate: 3600, expire: 7200 });

    await host.handler().revalidateTag("tag");
    assert.equal(await host.handler().get("/page", PAGE), null);
    await host.handler().set("/page", appPage("newer", "tag"), hour);
    assert.deepEqual((await host.handler().get("/page", PAGE))?.value, appPage("newer", "tag"));

    peer.refuse = undefined;
    await until("it is back", () => host.runtime.session.state === "ready");
    assert.notDeepEqual((await host.handler().get("/page", PAGE))?.value, appPage("newer", "tag"));
    peer.refuse = ABSENT;
    daemon.disconnectAll();
    await until("it is away again", () => host.runtime.session.state === "away");
    assert.equal(await host.handler().get("/page", PAGE), null, "nothing of the first time is left");
  });

  test("a render that began before a revalidation is not kept as new", async (t) => {
    const { host } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    const renderer = host.handler();
    assert.equal(await renderer.get("/page", PAGE), null);
    await host.handler().revalidateTag("tag");
    await renderer.set("/page", appPage("old", "tag"), hour);
    assert.equal(await host.handler().get("/page", PAGE), null);
  });

  test("an old fetch that is kept stays stale; an old page is given to be regenerated", async (t) => {
    const { host } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    await host.handler().get("/f", { kind: "FETCH" });
    await host.handler().set("/f", fetched("x", ["t"], 3600), { fetchCache: true });
    await host.handler().set("/p", appPage("x", "t"), hour);
    await host.handler().revalidateTag("t", { expire: 60 });
    const now = performance.timeOrigin + performance.now();
    const data = await host.handler().get("/f", { kind: "FETCH" });
    assert.ok(data && now - data.lastModified > 3600_000);
    const page = await host.handler().get("/p", PAGE);
    assert.ok(page && now - page.lastModified > 1000);
    assert.equal(page.cacheControl?.revalidate, 1);
  });

  test("revalidations are sent before anything is read again, and reads wait for their acknowledgement", async (t) => {
    const { host, peer, daemon } = await ready(t);
    peer.refuse = ABSENT;
    daemon.disconnectAll();
    await until("it is known to be away", () => host.runtime.session.state === "away");
    const { ms } = await timed(() => host.handler().revalidateTag(["a", "b", "a"]));
    assert.ok(ms < 150, `took ${ms} ms`);
    await host.handler().revalidateTag("a", { expire: 5 });
    assert.equal(host.runtime.session.undelivered, 2);

    let acknowledge: (() => void) | undefined;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "revalidate") return false;
      acknowledge = () => answer({ case: "revalidate", value: { fleetWide: true } });
      return true;
    };
    daemon.received.length = 0;
    peer.refuse = undefined;
    await until("the revalidations arrive", () => acknowledge !== undefined);
    assert.equal(await host.handler().get("/page", PAGE), null);
    assert.deepEqual(
      daemon.received.map(({ frame }) => frame.case).filter((kind) => kind !== "ping"),
      ["hello", "revalidate"],
    );
    assert.deepEqual(
      daemon.frames("revalidate")[0]?.revalidations.map(({ tag, expireSeconds }) => [tag, expireSeconds]),
      [
        ["a", undefined],
        ["b", undefined],
      ],
    );
    acknowledge?.();
    await until("it is back", () => host.runtime.session.state === "ready");
    assert.equal(host.runtime.session.undelivered, 0);
    assert.ok(await host.handler().get("/page", PAGE));
  });

  test("a revalidation whose acknowledgement is lost is sent again", async (t) => {
    const { host, daemon } = await ready(t, { ISRD_REVALIDATE_TIMEOUT_MS: "80" });
    let swallow = true;
    daemon.intercept = ({ frame }) => frame.case === "revalidate" && swallow;
    const { ms } = await timed(() => host.handler().revalidateTag("a"));
    assert.ok(ms >= 75 && ms < 600, `took ${ms} ms`);
    assert.equal(host.runtime.session.undelivered, 1);
    swallow = false;
    await until("it is delivered", () => host.runtime.session.undelivered === 0);
  });

  test("a revalidation in whatever turn before the session is ready is delivered as well", async (t) => {
    const settle = Outbox.prototype.settle;
    for (let turns = 0; turns < 16; turns++) {
      const { host, peer } = scene(t, {}, (_daemon, p) => {
        p.refuse = ABSENT;
      });
      await host.handler().revalidateTag("first");
      let second: Promise<void> | undefined;
      const settled = t.mock.method(Outbox.prototype, "settle", function (this: Outbox, batch: Batch) {
        settled.mock.restore();
        settle.call(this, batch);
        let left = turns;
        const turn = (): void => {
          if (left-- > 0) queueMicrotask(turn);
          else second = host.handler().revalidateTag("second");
        };
        turn();
      });
      peer.refuse = undefined;
      await until("the session is ready", () => second !== undefined && host.runtime.session.state === "ready");
      await second;
      assert.equal(host.runtime.session.undelivered, 0, `made ${turns} turns after the outbox was emptied`);
      host.close();
    }
  });

  test("a tag that the daemon refuses does not keep the others back", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "revalidate" || frame.value.revalidations.every(({ tag }) => tag !== "bad")) return false;
      answer({ case: "refusal", value: { code: 3, message: "tag: bad" } });
      return true;
    };
    await host.handler().revalidateTag(["good", "bad", "fine"]);
    assert.equal(host.runtime.session.undelivered, 0);
    const sent = daemon.frames("revalidate").map(({ revalidations }) => revalidations.map(({ tag }) => tag).join());
    assert.deepEqual(sent, ["good,bad,fine", "good", "bad", "fine"]);
    assert.match(host.log.lines.join("\n"), /refuses to revalidate a tag: tag: bad/);
  });
});

describe("a daemon that hangs", () => {
  test("one deadline, then misses at once; when it goes on, so does the session", async (t) => {
    const { host, daemon, peer } = await ready(t);
    daemon.deaf = true;
    const first = await timed(() => host.handler().get("/page", PAGE));
    assert.equal(first.result, null);
    assert.ok(first.ms >= 290 && first.ms < 900, `took ${first.ms} ms`);
    for (let i = 0; i < 20; i++) {
      const { result, ms } = await timed(() => host.handler().get("/page", PAGE));
      assert.equal(result, null);
      assert.ok(ms < 150, `took ${ms} ms`);
    }
    assert.equal(host.log.lines.at(-1)?.startsWith("warn unavailable: the daemon has stopped answering"), true);
    daemon.listen();
    await until("it is back", () => host.runtime.session.state === "ready");
    assert.ok(await host.handler().get("/page", PAGE));
    assert.equal(peer.dials, 1, "the same connection, with its leases");
  });

  test("it is noticed without anybody asking", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.deaf = true;
    await until("the heartbeats tell", () => host.runtime.session.state === "away", 3000);
  });

  test("revalidations made while it hangs are delivered before it is used again", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.deaf = true;
    await host.handler().get("/page", PAGE);
    await host.handler().revalidateTag("products");
    daemon.listen();
    await until("it is back", () => host.runtime.session.state === "ready");
    assert.equal(host.runtime.session.undelivered, 0);
    assert.equal(await host.handler().get("/page", PAGE), null);
  });

  test("a set does not hold the response longer than the deadline", async (t) => {
    const { host, daemon } = await ready(t);
    await host.handler().get("/other", PAGE);
    daemon.deaf = true;
    const { ms } = await timed(() => host.handler().set("/other", appPage("x"), hour));
    assert.ok(ms < 900, `took ${ms} ms`);
    assert.deepEqual((await host.handler().get("/other", PAGE))?.value, appPage("x"), "kept here for the time being");
  });

  test("leases of renders that end while it hangs are given back when it goes on", async (t) => {
    const { host, daemon } = await ready(t);
    const ends = {
      "/set": (handler: Handler) => handler.set("/set", appPage("x"), hour),
      "/dynamic": (handler: Handler) => handler.set("/dynamic", appPage("x"), { cacheControl: { revalidate: 0 } }),
    };
    const renderers = await Promise.all(
      Object.entries(ends).map(async ([key, end]) => {
        const handler = host.handler();
        assert.equal(await handler.get(key, PAGE), null);
        return () => end(handler);
      }),
    );
    assert.equal(daemon.store.leases, 2);
    daemon.deaf = true;
    await until("it is known to hang", () => host.runtime.session.state === "away", 3000);
    for (const end of renderers) await end();
    daemon.listen();
    await until("they are given back", () => daemon.store.leases === 0);
  });

  test("a lease whose set or release finds the queue full is given back when there is room", async (t) => {
    const { host, daemon, peer } = await ready(t);
    const handler = host.handler();
    assert.equal(await handler.get("/p", PAGE), null);
    peer.queue = 0;
    await handler.set("/p", appPage("x"), hour);
    assert.equal(host.runtime.client.counters.overloads, 1);
    peer.queue = Number.POSITIVE_INFINITY;
    await until("it is given back", () => daemon.store.leases === 0);
  });

  test("one slow answer is a miss, is withdrawn, and harms nobody else", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.intercept = ({ frame }) => frame.case === "get" && frame.value.key?.name === "/slow";
    const slow = timed(() => host.handler().get("/slow", PAGE));
    for (let i = 0; i < 10; i++) assert.ok(await host.handler().get("/page", PAGE));
    const { result, ms } = await slow;
    assert.equal(result, null);
    assert.ok(ms >= 290 && ms < 900, `took ${ms} ms`);
    assert.equal(host.runtime.session.state, "ready");
    const id = daemon.received.find(({ frame }) => frame.case === "get" && frame.value.key?.name === "/slow")?.id;
    await until("it is withdrawn", () => daemon.received.some((r) => r.frame.case === "cancel" && r.id === id));
  });

  test("a lease that crosses the withdrawal of its get is given back, whoever gave up", async (t) => {
    const { host, daemon } = await ready(t);
    const lease = { token: 77n, ttlMs: 30_000 };
    const late: Array<() => void> = [];
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      if (frame.value.key?.name === "/parked") answer({ case: "waiting", value: { limitMs: 60_000 } });
      late.push(() => answer({ case: "get", value: { status: 3, lease } }));
      return true;
    };
    const parked = host.handler().get("/parked", PAGE);
    assert.equal(await host.handler().get("/slow", PAGE), null);
    daemon.deaf = true;
    assert.equal(await parked, null);
    daemon.listen();
    for (const answer of late) answer();
    await until("they are given back", () => daemon.frames("release").length === 2);
    const released = daemon.frames("release").map(({ key, leaseToken }) => [key?.space, key?.name, leaseToken]);
    assert.deepEqual(released.sort(), [
      [Space.ROUTE, "/parked", 77n],
      [Space.ROUTE, "/slow", 77n],
    ]);
    assert.equal(daemon.frames("cancel").length, 2);
    for (const answer of late) answer();
    await host.handler().revalidateTag("t");
    assert.equal(daemon.frames("release").length, 2, "once");
  });

  test("a withdrawal that finds the queue full is sent when there is room", async (t) => {
    const { host, daemon, peer } = await ready(t);
    daemon.intercept = ({ frame }) => frame.case === "get";
    const slow = host.handler().get("/slow", PAGE);
    await until("it is asked", () => daemon.frames("get").at(-1)?.key?.name === "/slow");
    peer.queue = 0;
    assert.equal(await slow, null);
    peer.queue = Number.POSITIVE_INFINITY;
    await until("it is withdrawn", () => daemon.frames("cancel").length === 1);
    const id = daemon.received.find(({ frame }) => frame.case === "get" && frame.value.key?.name === "/slow")?.id;
    assert.equal(daemon.received.find(({ frame }) => frame.case === "cancel")?.id, id);
  });

  test("after a long task on this thread, answers that have arrived meanwhile are taken", async (t) => {
    const { host } = await ready(t);
    const answer = host.handler().get("/page", PAGE);
    await new Promise((resolve) => setImmediate(resolve));
    const until_ = performance.now() + 600;
    while (performance.now() < until_);
    assert.ok(await answer);
  });

  test("a question that this thread could not even send in time is not held against the daemon", async (t) => {
    const { host } = await ready(t);
    const answer = host.handler().get("/page", PAGE);
    const blockedUntil = performance.now() + 600;
    while (performance.now() < blockedUntil);
    assert.ok(await answer);
    assert.equal(host.runtime.client.counters.timeouts, 0);
  });
});

describe("waiting", () => {
  test("WAITING extends the deadline for as long as it says, while heartbeats come", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get" || frame.value.key?.name !== "/parked") return false;
      answer({ case: "waiting", value: { limitMs: 1000 } });
      return true;
    };
    const { result, ms } = await timed(() => host.handler().get("/parked", PAGE));
    assert.equal(result, null);
    assert.ok(ms >= 1000 && ms < 2500, `took ${ms} ms`);
  });

  test("a daemon that stops answering heartbeats is not waited for", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      answer({ case: "waiting", value: { limitMs: 60_000 } });
      setImmediate(() => (daemon.deaf = true));
      return true;
    };
    const { result, ms } = await timed(() => host.handler().get("/parked", PAGE));
    assert.equal(result, null);
    assert.ok(ms < 2000, `took ${ms} ms`);
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
    const { host, daemon, peer } = await ready(t);
    daemon.announce({ case: "goAway", value: { reason: "upgrade", reconnectAfterMs: 300 } });
    await until("it is heard", () => host.runtime.session.state === "away");
    const { ms } = await timed(() => host.handler().get("/page", PAGE));
    assert.ok(ms < 150);
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
    const { host, daemon } = await ready(t);
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
    assert.ok(ms < 250, `took ${ms} ms`);
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
    const { host, peer } = await ready(t);
    peer.queue = 0;
    const { result, ms } = await timed(() => host.handler().get("/page", PAGE));
    assert.equal(result, null);
    assert.ok(ms < 150);
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

describe("writing", () => {
  test("a set without a get counts from the beginning of its request", async (t) => {
    const { host, daemon } = await ready(t);
    const request = host.handler();
    const before = daemon.store.position();
    daemon.revalidate({ revalidations: [] });
    await until("the event has arrived", () => host.runtime.session.position?.seq === daemon.store.position().seq);
    await request.set("/joined", appPage("x"), hour);
    const set = daemon.frames("set").at(-1);
    assert.equal(set?.base, undefined);
    assert.equal(set?.position?.seq, before.seq);
  });

  test("a render whose get was not answered is not lent the base of a younger one", async (t) => {
    const { host, daemon } = await ready(t);
    let swallow = true;
    daemon.intercept = ({ frame }) => swallow && frame.case === "get" && frame.value.key?.name === "/p";
    const slow = host.handler();
    assert.equal(await slow.get("/p", PAGE), null, "it is rendered from here on");
    swallow = false;
    daemon.revalidate({ revalidations: [{ tag: "t" }] });
    await until("the event has arrived", () => host.runtime.session.position?.seq === daemon.store.position().seq);
    assert.equal(await host.handler().get("/p", PAGE), null, "a younger render, which knows of the event");
    await slow.set("/p", appPage("old", "t"), hour);
    assert.equal(await host.handler().get("/p", PAGE), null, "rendered before the event, so not served after it");
  });

  test("of several leases the one with the highest token is used, and the others are given back", async (t) => {
    const { daemon, host } = await ready(t);
    const tokens = [5n, 9n, 7n];
    daemon.intercept = ({ frame }, answer) => {
      const token = frame.case === "get" ? tokens.shift() : undefined;
      if (token === undefined) return false;
      const base = { ...daemon.store.position(), token };
      answer({
        case: "get",
        value: { status: Status.MISS, reason: Reason.ABSENT, base, lease: { token, ttlMs: 1000 } },
      });
      return true;
    };
    const handler = host.handler();
    for (const each of [handler, host.handler(), host.handler()]) assert.equal(await each.get("/a", PAGE), null);
    await handler.set("/a", appPage("a"), hour);
    assert.equal(daemon.frames("set").at(-1)?.leaseToken, 9n);
    await until("they are given back", () => daemon.frames("release").length === 2);
    const released = daemon
      .frames("release")
      .map(({ key, leaseToken, completed }) => [key?.name, leaseToken, completed]);
    assert.deepEqual(released, [
      ["/a", 5n, false],
      ["/a", 7n, false],
    ]);
  });

  test("an entry that is too large is not sent, its lease is given back, and one line tells", async (t) => {
    const { host, daemon } = scene(t, {}, (d) => {
      d.welcome = { maxEntryBytes: 1000n };
    });
    for (const key of ["/1", "/2"]) {
      await host.handler().get(key, PAGE);
      await host.handler().set(key, appPage("x".repeat(2000)), hour);
    }
    assert.equal(daemon.frames("set").length, 0);
    await until("the leases are given back", () => daemon.store.leases === 0);
    assert.equal(host.log.lines.filter((line) => line.includes("is not cached")).length, 1);
    assert.match(host.log.lines.at(-1) ?? "", /"\/1" is not cached: it has \d+ bytes, and the daemon takes 1000/);
  });

  test("revalidate 0 is not kept, and nobody waits for it", async (t) => {
    const { host, daemon } = await ready(t);
    await host.handler().get("/dynamic", PAGE);
    await host.handler().set("/dynamic", appPage("x"), { ...PAGE, cacheControl: { revalidate: 0 } });
    await until("the lease is given back", () => daemon.store.leases === 0);
    assert.equal(daemon.frames("set").length, 1);
  });

  test("the key says space and name only; app and build were said in the greeting", async (t) => {
    const { daemon } = await ready(t);
    const key = daemon.frames("set")[0]?.key;
    assert.deepEqual([key?.space, key?.name, key?.app, key?.build], [Space.ROUTE, "/page", "", undefined]);
  });
});

describe("a revalidation that the daemon cannot pass on", () => {
  const tags = (daemon: FakeDaemon): string[][] =>
    daemon.frames("revalidate").map(({ revalidations }) => revalidations.map(({ tag }) => tag));

  test("returns at the first answer, and is sent again until it holds in the fleet", async (t) => {
    const { daemon, host } = await ready(t);
    daemon.storeAway = true;
    const { ms } = await timed(() => host.handler().revalidateTag("products"));
    assert.ok(ms < 500, `returned after ${ms} ms`);
    assert.equal(host.runtime.session.undelivered, 1);
    await until("it is sent again", () => tags(daemon).length >= 2);
    daemon.storeAway = false;
    await until("it holds", () => host.runtime.session.undelivered === 0);
    assert.deepEqual([...new Set(tags(daemon).flat())], ["products"]);
  });

  test("is sent to the next daemon before anything is read there", async (t) => {
    const { daemon, host } = await ready(t);
    daemon.storeAway = true;
    await host.handler().revalidateTag("products");
    const before = tags(daemon).length;
    daemon.disconnectAll();
    await until("the end is known", () => host.runtime.session.state !== "ready");
    await host.handler().get("/page", PAGE);
    assert.ok(tags(daemon).length > before, "the new session began with it");
    assert.equal(host.runtime.session.state, "ready", "that it does not hold in the fleet keeps nobody waiting");
    assert.equal(host.runtime.session.undelivered, 1);
  });
});
