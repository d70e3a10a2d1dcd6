import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Outcome, Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { Kind } from "../src/gen/isrd/v1/entry_pb.js";
import type { HostGetContext } from "../src/next/values.js";
import { PREVIEW_ID } from "./support/host.js";
import { hour, PAGE, read, scene } from "./support/near.js";
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

  test("has the age that the daemon said, and what came since", async (t) => {
    const { daemon, host } = scene(t);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      const asOf = daemon.store.position();
      const body = { name: "body", data: Buffer.from("x") };
      const entry = { kind: Kind.APP_ROUTE, status: 200, parts: [body], lifetime: { revalidateSeconds: 60 } };
      const found = { status: Status.HIT, ageMs: frame.value.key?.name === "/old" ? 60_000n : 50_000n };
      answer({ case: "get", value: { ...found, version: { ...asOf, token: 1n }, base: asOf, asOf, entry } });
      return true;
    };
    for (let i = 0; i < 2; i++) {
      const answer = await host.handler().get("/p", PAGE);
      const age = performance.timeOrigin + performance.now() - (answer?.lastModified ?? 0);
      assert.ok(age >= 50_000 && age < 55_000, `age is ${age} ms`);
    }
    assert.equal(host.runtime.client.counters.nearHits, 1);
    for (let i = 0; i < 2; i++) await host.handler().get("/old", PAGE);
    assert.equal(host.runtime.client.counters.nearHits, 1, "older than its lifetime");
    const { size } = host.runtime.near;
    await host.handler({ "x-prerender-revalidate": PREVIEW_ID }).get("/demanded", PAGE);
    assert.equal(host.runtime.near.size, size, "what a render on demand is answered is not kept");
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

  test("is counted by what it takes: text twice, bytes once; a page that was read holds all of its message too", async (t) => {
    const { host, other } = scene(t);
    const values = [appPage("x".repeat(100_000)), route(Buffer.alloc(100_000))];
    const taken: number[] = [];
    for (const value of values) {
      for (const writer of [host, other]) {
        const before = host.runtime.near.bytes;
        const key = `/${taken.length}`;
        await writer.handler().get(key, PAGE);
        await writer.handler().set(key, value, hour);
        assert.ok(await host.handler().get(key, PAGE));
        taken.push(Math.floor((host.runtime.near.bytes - before) / 100_000));
      }
    }
    // The page is 100 KB of HTML and as much RSC.
    assert.deepEqual(taken, [3, 4, 1, 1]);
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
