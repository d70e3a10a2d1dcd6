import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Status } from "../src/gen/isrd/v1/cache_pb.js";
import { Space } from "../src/gen/isrd/v1/entry_pb.js";
import type { Handler } from "../src/handler.js";
import { hour, PAGE, ready } from "./support/scene.js";
import { atOnce, timed, until } from "./support/until.js";
import { appPage } from "./support/values.js";

describe("a daemon that hangs", () => {
  test("one deadline, then misses at once; when it goes on, so does the session", async (t) => {
    const { host, daemon, peer } = await ready(t, { ISRD_TIMEOUT_MS: "200" });
    daemon.deaf = true;
    const first = await timed(() => host.handler().get("/page", PAGE));
    assert.equal(first.result, null);
    assert.ok(first.ms >= 190 && first.ms < 950, `took ${first.ms} ms`);
    await atOnce(20, async () => assert.equal(await host.handler().get("/page", PAGE), null));
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
    const { host, daemon } = await ready(t, { ISRD_TIMEOUT_MS: "1000" });
    await host.handler().get("/other", PAGE);
    daemon.deaf = true;
    const { ms } = await timed(() => host.handler().set("/other", appPage("x"), hour));
    assert.ok(ms < 4000, `took ${ms} ms`);
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
    assert.ok(ms >= 290 && ms < 3000, `took ${ms} ms; five deadlines are the most for a daemon that says something`);
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

  test("an answer that takes several deadlines is waited for while the daemon says something", async (t) => {
    const { host, daemon } = await ready(t);
    let answerSlow: (() => void) | undefined;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get" || frame.value.key?.name !== "/slow") return false;
      answerSlow = () => answer({ case: "get", value: { status: Status.MISS } });
      return true;
    };
    const slow = timed(() => host.handler().get("/slow", PAGE));
    const began = performance.now();
    while (performance.now() - began < 650) {
      assert.ok(await host.handler().get("/page", PAGE));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    answerSlow?.();
    assert.ok((await slow).ms >= 650);
    assert.equal(host.runtime.client.counters.timeouts, 0);
  });

  test("and so is that of a set", async (t) => {
    const { host, daemon } = await ready(t);
    let answerSet: (() => void) | undefined;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "set") return false;
      answerSet = () => answer({ case: "set", value: {} });
      return true;
    };
    const reading = setInterval(() => void host.handler().get("/page", PAGE), 20);
    t.after(() => clearInterval(reading));
    const set = timed(() => host.handler().set("/slow", appPage("slow"), hour));
    setTimeout(() => answerSet?.(), 700);
    assert.ok((await set).ms >= 650);
    assert.equal(host.runtime.client.counters.timeouts, 0);
  });

  test("a revalidation is not: its own deadline is long enough", async (t) => {
    const { host, daemon } = await ready(t, { ISRD_REVALIDATE_TIMEOUT_MS: "1000" });
    daemon.intercept = ({ frame }) => frame.case === "revalidate";
    const reading = setInterval(() => void host.handler().get("/page", PAGE), 20);
    t.after(() => clearInterval(reading));
    const { ms } = await timed(() => host.handler().revalidateTag("t"));
    assert.ok(ms >= 990 && ms < 4000, `took ${ms} ms; a get would be waited for five times as long`);
  });

  test("one that this thread had no time for is waited for, however often it was away", async (t) => {
    const { host, daemon } = await ready(t);
    let answerLate: (() => void) | undefined;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      answerLate = () => answer({ case: "get", value: { status: Status.MISS } });
      return true;
    };
    let times = 0;
    const away = setInterval(() => {
      times += 1;
      if (times > 2) return answerLate?.(); // Two deadlines have passed.
      const until_ = performance.now() + 345;
      while (performance.now() < until_);
    }, 1);
    t.after(() => clearInterval(away));
    await host.handler().get("/page", PAGE);
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
    assert.ok(ms >= 1000 && ms < 3500, `took ${ms} ms`);
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
    assert.ok(ms < 6000, `took ${ms} ms`);
  });
});
