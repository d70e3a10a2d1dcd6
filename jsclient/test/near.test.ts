import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Outcome, Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import type { HostGetContext } from "../src/next/values.js";
import { PREVIEW_ID } from "./support/host.js";
import { hour, PAGE, pong, read, scene } from "./support/near.js";
import { until } from "./support/until.js";
import { appPage, fetched, route } from "./support/values.js";

const FETCH = { kind: "FETCH" } satisfies HostGetContext;

describe("a near hit", () => {
  test("is the very object, with its age and lifetime, and nothing is asked", async (t) => {
    const { host, value, asked } = await read(t);
    const before = asked();
    const answer = await host.handler().get("/p", PAGE);
    assert.equal(answer?.value, value);
    assert.deepEqual(answer?.cacheControl, { revalidate: 3600, expire: 7200 });
    const age = performance.timeOrigin + performance.now() - (answer?.lastModified ?? 0);
    assert.ok(age >= 0 && age < 5000, `age is ${age} ms`);
    assert.equal(asked(), before);
    const { gets, hits, nearHits } = host.runtime.client.counters;
    assert.deepEqual([gets, hits, nearHits], [2, 2, 1]);
  });

  test("opens no render: a set that follows counts from the beginning of its request", async (t) => {
    const { daemon, host } = await read(t);
    const handler = host.handler();
    const began = host.runtime.session.position?.seq;
    assert.ok(await handler.get("/p", PAGE));
    await handler.set("/p", appPage("new", "t"), hour);
    const set = daemon.frames("set").at(-1);
    assert.deepEqual([set?.base, set?.position?.seq, set?.leaseToken], [undefined, began, 0n]);
  });

  test("given back after a failed render is known again", async (t) => {
    const { daemon, host } = await read(t);
    const near = await host.handler().get("/p", PAGE);
    assert.equal(host.runtime.client.counters.nearHits, 1);
    await host.handler().set("/p", near?.value as never, { ...PAGE, cacheControl: { revalidate: 3 } });
    const set = daemon.frames("set").at(-1);
    assert.ok(set?.rewriteOf);
    assert.equal(set.entry, undefined);
  });

  test("is never the answer to a render on demand, which drops what it finds", async (t) => {
    const { host, daemon, asked } = await read(t, "");
    const before = asked();
    await host.handler({ "x-prerender-revalidate": PREVIEW_ID }).get("/p", PAGE);
    assert.equal(asked(), before + 1);
    assert.equal(daemon.frames("get").at(-1)?.held, undefined);
    await until("its event has arrived", () => host.runtime.session.position?.seq === daemon.store.position().seq);
    assert.equal(host.runtime.near.size, 0, "an event names the key of a page without tags");
  });

  test("of a not-found, of a fetch, and of a body that came beside the stream", async (t) => {
    const { host, other, asked } = scene(t);
    const values = [null, fetched("x", ["t"]), route(Buffer.alloc(400_000, "x"))];
    for (const [i, value] of values.entries()) {
      const ctx = i === 1 ? FETCH : PAGE;
      await other.handler().get(`/${i}`, ctx);
      await other.handler().set(`/${i}`, value, i === 1 ? { fetchCache: true } : hour);
      const first = await host.handler().get(`/${i}`, ctx);
      const before = asked();
      const second = await host.handler().get(`/${i}`, ctx);
      assert.ok(first && second);
      assert.equal(second.value, first.value);
      assert.equal(asked(), before, `value ${i}`);
    }
  });

  test("with 0 bytes there is none, and nothing is said to be held", async (t) => {
    const { daemon, host, other } = scene(t, { ISRD_NEAR_CACHE_BYTES: "0" });
    await other.handler().get("/p", PAGE);
    await other.handler().set("/p", appPage("x"), hour);
    for (let i = 0; i < 2; i++) assert.ok(await host.handler().get("/p", PAGE));
    await host.handler().set("/p", appPage("y"), hour);
    assert.ok(await host.handler().get("/p", PAGE));
    assert.equal(host.runtime.client.counters.nearHits, 0);
    assert.ok(daemon.frames("get").every(({ held }) => held === undefined));
  });
});

describe("what is kept", () => {
  test("what this process has set and the daemon has accepted: the very value", async (t) => {
    const { host, asked } = scene(t);
    await host.handler().get("/p", PAGE);
    const value = appPage("mine", "t");
    await host.handler().set("/p", value, hour);
    const before = asked();
    assert.equal((await host.handler().get("/p", PAGE))?.value, value);
    assert.equal(asked(), before);
    await host.handler().revalidateTag("t");
    assert.equal(await host.handler().get("/p", PAGE), null);
  });

  test("not what it has set and the daemon has refused, or could not store; what was there is gone", async (t) => {
    for (const outcome of [Outcome.REFUSED_OLDER, Outcome.REFUSED_INVALIDATED, Outcome.LOCAL_ONLY]) {
      const { daemon, host, asked } = await read(t);
      daemon.intercept = ({ frame }, answer) => {
        if (frame.case !== "set") return false;
        answer({ case: "set", value: { outcome, version: { epoch: 7n, seq: 99n, token: 1n } } });
        return true;
      };
      const set = host.handler().set("/p", appPage("refused", "t"), hour);
      assert.equal(host.runtime.near.size, 0, "from the beginning of the set");
      await set;
      const before = asked();
      assert.deepEqual((await host.handler().get("/p", PAGE))?.value, appPage("page", "t"));
      assert.equal(asked(), before + 1, `outcome ${outcome}`);
    }
  });

  test("not what was accepted after its tag had an event", async (t) => {
    const { daemon, host } = scene(t);
    await host.handler().get("/p", PAGE);
    let accept: (() => void) | undefined;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "set") return false;
      const version = frame.value.base;
      accept = () => answer({ case: "set", value: { outcome: 1, ...(version ? { version } : {}) } });
      return true;
    };
    const set = host.handler().set("/p", appPage("old", "t"), hour);
    await until("it is sent", () => accept !== undefined);
    daemon.revalidate({ revalidations: [{ tag: "t" }] });
    accept?.();
    await set;
    assert.equal(host.runtime.near.size, 0);
  });

  test("not an answer that an event follows in the same turn", async (t) => {
    const { daemon, host } = await read(t);
    for (const tag of ["t", "soft"]) {
      await host.handler().revalidateTag("t");
      let swallowed: ((frame: never) => void) | undefined;
      daemon.intercept = (_request, answer) => {
        daemon.intercept = undefined;
        swallowed = answer as never;
        return true;
      };
      const answer = host.handler().get("/f", { ...FETCH, softTags: ["soft"] });
      await until("it is asked", () => swallowed !== undefined);
      const asOf = daemon.store.position();
      const entry = {
        kind: 6,
        parts: [{ name: "body", data: Buffer.from("x") }],
        attributes: { revalidate: "60" },
        tags: ["t"],
      };
      swallowed?.({
        case: "get",
        value: { status: 1, version: { ...asOf, token: 1n }, base: asOf, asOf, entry },
      } as never);
      daemon.revalidate({ revalidations: [{ tag }] });
      assert.ok(await answer);
      await until("the event has arrived", () => host.runtime.session.position?.seq === daemon.store.position().seq);
      assert.equal(host.runtime.near.size, 0, tag);
    }
  });

  test("not what the daemon could not ask its store about, nor what is old", async (t) => {
    const { daemon, host } = await read(t);
    const { size } = host.runtime.near;
    for (const [status, reason] of [
      [Status.HIT, Reason.STORE_UNAVAILABLE],
      [Status.STALE, Reason.REVALIDATE],
    ] as const) {
      const asOf = daemon.store.position();
      daemon.intercept = ({ frame }, answer) => {
        if (frame.case !== "get") return false;
        const entry = { kind: 3, status: 200, parts: [{ name: "body", data: Buffer.from("x") }], lifetime: {} };
        answer({
          case: "get",
          value: { status, reason, version: { ...asOf, token: 1n }, asOf, base: asOf, entry },
        } as never);
        return true;
      };
      const key = `/${status}`;
      assert.ok(await host.handler().get(key, PAGE));
      assert.equal(host.runtime.near.size, size);
    }
  });

  test("a fetch is served to readers with other soft tags only after the daemon has judged them; it sends no body", async (t) => {
    const { daemon, host } = scene(t);
    await host.handler().get("/f", FETCH);
    const value = fetched("x", ["t"]);
    await host.handler().set("/f", value, { fetchCache: true });
    const of = (softTags: string[]) => host.handler().get("/f", { ...FETCH, tags: ["t"], softTags });
    assert.equal((await of([]))?.value, value);
    assert.equal((await of(["_N_T_/a"]))?.value, value);
    assert.equal((await of(["_N_T_/b"]))?.value, value);
    const { nearHits, unchanged } = host.runtime.client.counters;
    assert.deepEqual([nearHits, unchanged], [1, 2]);
    for (const softTags of [["_N_T_/a"], ["_N_T_/b"], []]) assert.equal((await of(softTags))?.value, value);
    assert.equal(host.runtime.client.counters.nearHits, 4);
    daemon.revalidate({ revalidations: [{ tag: "_N_T_/b" }] });
    await until("the event has arrived", () => host.runtime.near.size === 0);
    assert.equal(await of(["_N_T_/b"]), null);
  });
});

describe("an event", () => {
  test("ends an entry before its acknowledgement is sent", async (t) => {
    const { daemon, host } = await read(t);
    let sizeAtAck: number | undefined;
    daemon.intercept = ({ frame }) => {
      if (frame.case === "eventsAck") sizeAtAck ??= host.runtime.near.size;
      return false;
    };
    daemon.revalidate({ revalidations: [{ tag: "t" }] });
    await until("it is acknowledged", () => sizeAtAck !== undefined);
    assert.equal(sizeAtAck, 0);
    assert.equal(await host.handler().get("/p", PAGE), null);
  });

  test("a reset ends all", async (t) => {
    const { daemon, host } = await read(t);
    daemon.announce({ case: "reset", value: { position: daemon.store.position(), reason: "test" } });
    await until("it has arrived", () => daemon.frames("eventsAck").length > 0);
    assert.equal(host.runtime.near.size, 0);
  });

  test("this process's own revalidation ends them at once", async (t) => {
    const { host } = await read(t);
    const done = host.handler().revalidateTag("t");
    assert.equal(host.runtime.near.size, 0);
    await done;
  });
});

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
