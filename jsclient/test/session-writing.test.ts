import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { Space } from "../src/gen/isrd/v1/entry_pb.js";
import { hour, PAGE, ready, scene } from "./support/scene.js";
import { until } from "./support/until.js";
import { appPage } from "./support/values.js";

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

test("a set that goes over another connection than its get says that the token is not to be relied upon", async (t) => {
  const { host, daemon, peer } = await ready(t);
  const [same, another] = [host.handler(), host.handler()];
  await same.get("/same", PAGE);
  await same.set("/same", appPage("x"), hour);
  await another.get("/another", PAGE);
  daemon.disconnectAll();
  await until("it is connected again", () => peer.dials === 2 && host.runtime.session.state === "ready");
  await another.set("/another", appPage("x"), hour);
  const sets = daemon.frames("set").slice(-2);
  assert.deepEqual(
    sets.map(({ base, position }) => [base !== undefined, position !== undefined]),
    [
      [true, false],
      [true, true],
    ],
  );
});
