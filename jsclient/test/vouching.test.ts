import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { hour, PAGE, pong, read, scene } from "./support/near.js";
import { until } from "./support/until.js";
import { appPage } from "./support/values.js";

describe("while nobody vouches", () => {
  test("the daemon is asked with the version that is held, and the same object is used again", async (t) => {
    const { daemon, host, value } = await read(t, "t", 0);
    const answer = await host.handler().get("/p", PAGE);
    assert.equal(answer?.value, value);
    assert.deepEqual(answer?.cacheControl, { revalidate: 3600, expire: 7200 });
    assert.ok(daemon.frames("get").at(-1)?.held);
    const { nearHits, unchanged } = host.runtime.client.counters;
    assert.deepEqual([nearHits, unchanged], [0, 1]);
  });

  test("a newer version is told apart from the one that is held", async (t) => {
    const { daemon, host, other } = await read(t, "t", 0);
    daemon.revalidate({ revalidations: [{ tag: "no" }] });
    await until("the event has arrived", () => other.runtime.session.position?.seq === daemon.store.position().seq);
    await other.handler().set("/p", appPage("newer", "t"), hour);
    assert.deepEqual((await host.handler().get("/p", PAGE))?.value, appPage("newer", "t"));
    assert.equal(host.runtime.client.counters.unchanged, 0);
  });

  test("an old entry that has not changed is handed out again as old, and its render is open", async (t) => {
    const { daemon, host, value } = await read(t, "t", 0);
    const asOf = daemon.store.position();
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      const lease = { token: 77n, ttlMs: 30_000 };
      const { held } = frame.value;
      const found = { status: Status.STALE, reason: Reason.TAG_STALE, unchanged: true, ageMs: 5000n };
      answer({ case: "get", value: { ...found, lease, base: { ...asOf, token: 5n }, asOf, version: held } } as never);
      return true;
    };
    const answer = await host.handler().get("/p", PAGE);
    assert.equal(answer?.value, value);
    assert.deepEqual(answer?.cacheControl, { revalidate: 1, expire: 7200 }, "to be regenerated");
    daemon.intercept = undefined;
    await host.handler().set("/p", appPage("new", "t"), hour);
    assert.equal(daemon.frames("set").at(-1)?.leaseToken, 77n);
  });

  test("a daemon that says unchanged of what is not held is not believed", async (t) => {
    const { daemon, host } = scene(t);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      answer({
        case: "get",
        value: { status: Status.HIT, unchanged: true, version: { epoch: 7n, seq: 1n, token: 1n } },
      });
      return true;
    };
    assert.equal(await host.handler().get("/p", PAGE), null);
    assert.equal(host.runtime.client.counters.unreadable, 1);
  });

  test("an answer to a ping counts from when the ping was sent", async (t) => {
    const { daemon, host, other } = await read(t, "t", 0);
    other.close();
    let sentAt = 0;
    let late: ((validityMs: number) => void) | undefined;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "ping") return false;
      sentAt = performance.now();
      late = (validityMs) => answer({ case: "pong", value: { validityMs, position: daemon.store.position() } });
      daemon.intercept = undefined;
      return true;
    };
    await until("a ping arrives", () => late !== undefined);
    assert.equal(host.runtime.session.vouched, false);
    await until("it is late", () => performance.now() > sentAt + 60);
    late?.(60);
    await pong(daemon);
    assert.equal(host.runtime.session.vouched, false);
    daemon.validityMs = 60_000;
    await until("it is vouched for", () => host.runtime.session.vouched);
    assert.ok(await host.handler().get("/p", PAGE));
    assert.equal(host.runtime.client.counters.nearHits, 1);
  });

  test("an answer to a ping that cannot be read does not end the heartbeat", async (t) => {
    const { daemon, host, other } = await read(t, "t", 0);
    other.close();
    const { accept } = daemon;
    let damaged = false;
    daemon.accept = (peer) => {
      daemon.intercept = ({ id, frame }) => {
        if (frame.case !== "ping" || damaged) return false;
        damaged = true;
        // The id, then a pong with a length beyond the end.
        peer.send(Buffer.from([0x08, Number(id), 0x3a, 0x7f, 0xff]));
        return true;
      };
      return accept.call(daemon, peer);
    };
    daemon.disconnectAll();
    await until("one was damaged", () => damaged);
    daemon.validityMs = 60_000;
    await until("it is vouched for", () => host.runtime.session.vouched);
  });

  test("a ping that finds the queue full is sent again when there is room", async (t) => {
    const { daemon, peer, host, other } = await read(t, "t", 0);
    other.close();
    peer.queue = 0;
    await until("a ping was not sent", () => peer.refusals >= 2);
    daemon.validityMs = 60_000;
    peer.queue = Number.POSITIVE_INFINITY;
    await until("it is vouched for", () => host.runtime.session.vouched);
  });

  test("a daemon that falls silent: not from that moment on, and again when it has answered a ping", async (t) => {
    const { daemon, host, other, value } = await read(t);
    other.close();
    daemon.deaf = true;
    await until("it is known to be silent", () => host.runtime.session.state === "away");
    assert.equal(host.runtime.session.vouched, false);
    assert.equal(await host.handler().get("/p", PAGE), null);
    daemon.validityMs = 0;
    daemon.listen();
    await until("it is back", () => host.runtime.session.state === "ready");
    await pong(daemon);
    assert.equal(host.runtime.session.vouched, false, "what was said before the silence does not count any more");
    daemon.validityMs = 60_000;
    await until("it is vouched for", () => host.runtime.session.vouched);
    assert.equal((await host.handler().get("/p", PAGE))?.value, value);
  });
});
