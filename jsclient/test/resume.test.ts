import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { IsrdError } from "../src/errors.js";
import type { SessionRequest } from "../src/gen/isrd/v1/cache_pb.js";
import type { FakeDaemon } from "./support/fake-daemon.js";
import { hour, PAGE, read, type Scene } from "./support/near.js";
import { until } from "./support/until.js";
import { appPage, route } from "./support/values.js";

describe("a session that breaks", () => {
  const hellos = (daemon: FakeDaemon) => daemon.frames("hello");
  const claimed = (daemon: FakeDaemon) => hellos(daemon).flatMap(({ resume }) => resume?.leases ?? []);

  /** Breaks the connection, and lets it come back when `during` is over. */
  async function cut({ daemon, peer, host }: Scene, during: () => unknown = () => {}): Promise<void> {
    const before = hellos(daemon).length;
    peer.refuse = new IsrdError("unavailable", "nobody listens");
    daemon.disconnectAll();
    await until("it is noticed", () => !host.runtime.session.vouched && host.runtime.session.state !== "ready");
    await during();
    peer.refuse = undefined;
    await until("it is back", () => hellos(daemon).length > before && host.runtime.session.state === "ready");
  }

  test("goes on: what was held is good again, and nothing was sent anew", async (t) => {
    const all = await read(t);
    const { daemon, host, value } = all;
    const held = host.runtime.session.position;
    await cut(all, async () => assert.equal(await host.handler().get("/p", PAGE), null));
    const resume = daemon
      .frames("hello")
      .flatMap((hello) => (hello.resume ? [hello.resume] : []))
      .at(-1);
    assert.match(resume?.sessionId ?? "", /^fake-/);
    assert.deepEqual([resume?.position?.seq, resume?.position?.nonce], [held?.seq, held?.nonce]);
    const before = all.asked();
    assert.equal((await host.handler().get("/p", PAGE))?.value, value);
    assert.equal(all.asked(), before);
  });

  test("what was revalidated meanwhile is never served again", async (t) => {
    const all = await read(t);
    await cut(all, () => all.daemon.store.revalidate([{ tag: "t" }]));
    assert.equal(all.host.runtime.near.size, 0);
    assert.equal(await all.host.handler().get("/p", PAGE), null);
  });

  test("is not used before the missed events are there, however long they take", async (t) => {
    const all = await read(t, "other");
    const { daemon, host, value } = all;
    daemon.withholds = true;
    await cut(all, () => daemon.store.revalidate([{ tag: "t" }]));
    assert.equal(host.runtime.session.vouched, false);
    assert.equal((await host.handler().get("/p", PAGE))?.value, value, "the daemon was asked");
    assert.equal(host.runtime.client.counters.nearHits, 0);
    daemon.announce({ case: "events", value: { events: daemon.store.log } });
    await until("it is vouched for", () => host.runtime.session.vouched);
    assert.ok(await host.handler().get("/p", PAGE));
    assert.equal(host.runtime.client.counters.nearHits, 1);
  });

  test("and cannot go on: everything is forgotten", async (t) => {
    const all = await read(t);
    all.daemon.forgetful = true;
    await cut(all);
    assert.equal(all.host.runtime.near.size, 0);
    assert.equal(all.host.runtime.session.vouched, true, "what is read from now on may be kept");
    const first = await all.host.handler().get("/p", PAGE);
    assert.equal((await all.host.handler().get("/p", PAGE))?.value, first?.value);
    assert.equal(all.host.runtime.client.counters.nearHits, 1);
  });

  test("its leases are claimed again, and the set uses the token that they have by then", async (t) => {
    const all = await read(t);
    const { daemon, host } = all;
    daemon.keepsLeases = true;
    const handlers = [host.handler(), host.handler()];
    assert.equal(await handlers[0]?.get("/small", PAGE), null);
    assert.equal(await handlers[1]?.get("/large", PAGE), null);
    await cut(all);
    const claims = claimed(daemon);
    assert.deepEqual(claims.map(({ key }) => key?.name).sort(), ["/large", "/small"]);
    await handlers[0]?.set("/small", appPage("x"), hour);
    await handlers[1]?.set("/large", route(Buffer.alloc(400_000)), hour);
    const token = daemon.frames("set").at(-1)?.leaseToken ?? 0n;
    assert.ok(token > 0n && claims.every(({ leaseToken }) => token > leaseToken));
    assert.equal(daemon.store.leases, 0, "both are ended by their sets");
  });

  test("a set that waits for the connection uses the new token too", async (t) => {
    const all = await read(t);
    const { daemon, host } = all;
    daemon.keepsLeases = true;
    const handler = host.handler();
    assert.equal(await handler.get("/x", PAGE), null);
    daemon.disconnectAll();
    await until("it is noticed", () => host.runtime.session.state === "connecting");
    await handler.set("/x", appPage("x"), hour);
    const [claim] = claimed(daemon);
    assert.equal(claim?.key?.name, "/x", "it is still to be used");
    assert.ok((daemon.frames("set").at(-1)?.leaseToken ?? 0n) > (claim?.leaseToken ?? 0n));
    assert.equal(daemon.store.leases, 0);
  });

  test("a lease that is not among those that are left is lost: the set competes by its version", async (t) => {
    const all = await read(t);
    const { daemon, host } = all;
    const handler = host.handler();
    assert.equal(await handler.get("/x", PAGE), null);
    await cut(all);
    await handler.set("/x", appPage("x"), hour);
    const set = daemon.frames("set").at(-1);
    assert.equal(set?.leaseToken, 0n);
    assert.ok(set?.base);
    assert.ok(await all.other.handler().get("/x", PAGE));
  });

  test("a lease whose render ended before the welcome is given back", async (t) => {
    const all = await read(t);
    const { daemon, host } = all;
    daemon.keepsLeases = true;
    const handler = host.handler();
    assert.equal(await handler.get("/x", PAGE), null);
    let hello: SessionRequest | undefined;
    daemon.intercept = (request) => {
      if (request.frame.case !== "hello" || !request.frame.value.resume?.leases.length) return false;
      hello = request;
      // The response has ended without a set; the hello has claimed the lease already.
      void handler.set("/x", appPage("x"), { ...PAGE, cacheControl: { revalidate: 0 } });
      daemon.intercept = undefined;
      return false;
    };
    daemon.disconnectAll();
    await until("it is back", () => hello !== undefined && host.runtime.session.state === "ready");
    await until("the lease is given back", () => daemon.store.leases === 0);
    assert.equal(daemon.frames("release").length, 1);
  });
});
