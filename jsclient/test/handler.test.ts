import assert from "node:assert/strict";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { Outcome, Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { Kind } from "../src/gen/isrd/v1/entry_pb.js";
import { Handler } from "../src/handler.js";
import type { HostAnswer, HostContext, HostGetContext, HostValue } from "../src/next/values.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { type FakeHost, PREVIEW_ID, startHost } from "./support/host.js";
import { dialMemory } from "./support/memory-transport.js";
import { until } from "./support/until.js";
import { appPage, fetched } from "./support/values.js";

const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
const hour = { ...PAGE, cacheControl: { revalidate: 3600, expire: 7200 } };

function scene(t: { after(hook: () => void): void }): { daemon: FakeDaemon; host: FakeHost } {
  const daemon = new FakeDaemon();
  const host = startHost({ dial: dialMemory(daemon).dial });
  t.after(() => host.close());
  return { daemon, host };
}

describe("no method ever rejects", () => {
  test("odd arguments of get, set and revalidateTag", async (t) => {
    const { host } = scene(t);
    const handler = host.handler();
    const contexts = [undefined, {}, { kind: "NEW" }, { kind: "FETCH", tags: undefined }];
    for (const [i, ctx] of contexts.entries()) assert.equal(await handler.get(`/${i}`, ctx as never), null);
    assert.equal(await handler.get("", {}), null);
    for (const value of [undefined, {}, { kind: "NEW" }, { kind: "APP_PAGE" }, { kind: "FETCH" }, "text", 7]) {
      await handler.set("/odd", value as never, hour);
    }
    await handler.set("/odd", appPage("x"), undefined as never);
    for (const tags of [[], "", [""], ["a".repeat(100_000)]]) await handler.revalidateTag(tags);
    await handler.revalidateTag("t", { expire: Number.NaN });
    await handler.revalidateTag("t", { expire: -5 });
    await handler.revalidateTag("t", { expire: Number.POSITIVE_INFINITY });
    assert.equal(host.runtime.session.undelivered, 0);
  });

  test("an entry that cannot be read is a miss, and is rendered and written anew", async (t) => {
    const { daemon, host } = scene(t);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      const version = { epoch: 7n, seq: 1n, token: 1n };
      answer({ case: "get", value: { status: 1, version, base: version, entry: { kind: 2, parts: [] } } });
      return true;
    };
    assert.equal(await host.handler().get("/a", PAGE), null);
    assert.match(host.log.lines.at(-1) ?? "", /"\/a" could not be read and is rendered: part "html" is missing/);
    assert.equal(host.runtime.client.counters.unreadable, 1);
    daemon.intercept = undefined;
    await host.handler().set("/a", appPage("x"), hour);
    assert.ok(await host.handler().get("/a", PAGE));
  });

  test("an empty list of tags is nobody's business", async (t) => {
    const { daemon, host } = scene(t);
    await host.handler().revalidateTag([]);
    assert.equal(daemon.received.length, 0);
  });
});

describe("what the daemon is asked", () => {
  test("durations, absent and present", async (t) => {
    const { daemon, host } = scene(t);
    await host.handler().revalidateTag("now");
    await host.handler().revalidateTag(["later"], { expire: 12.2 });
    await host.handler().revalidateTag(["zero"], { expire: 0 });
    const sent = daemon.frames("revalidate").flatMap(({ revalidations }) => revalidations);
    assert.deepEqual(
      sent.map(({ tag, expireSeconds }) => [tag, expireSeconds]),
      [
        ["now", undefined],
        ["later", 13],
        ["zero", 0],
      ],
    );
  });

  test("soft tags for a fetch; on demand, and no lease for what will not be regenerated", async (t) => {
    const { daemon, host } = scene(t);
    await host.handler().get("/f", { kind: "FETCH", tags: ["a"], softTags: ["b"] });
    await host.handler({ "x-prerender-revalidate": PREVIEW_ID }).get("/1", PAGE);
    await host.handler({ "x-prerender-revalidate": "forged" }).get("/2", PAGE);
    await host.handler({ purpose: "prefetch" }).get("/3", PAGE);
    await host.handler().get("/4", { ...PAGE, isRoutePPREnabled: true });
    await host.handler().get("/5", { ...PAGE, isRoutePPREnabled: true, isFallback: true });
    await host.handler().get("/of/[id]", { ...PAGE, isRoutePPREnabled: true });
    await host.handler().get("/of/route", { ...PAGE, isRoutePPREnabled: true });
    const scoped = `/route-cache/APP_PAGE/${"0".repeat(64)}/$/index`;
    await host.handler().get(scoped, { ...PAGE, isRoutePPREnabled: true });
    const asked = daemon.frames("get").map(({ softTags, onDemand, noLease }) => [softTags.join(), onDemand, noLease]);
    assert.deepEqual(asked, [
      ["a,b", false, false],
      ["", true, false],
      ["", false, false],
      ["", false, true],
      ["", false, true],
      ["", false, false],
      ["", false, true],
      ["", false, false],
      ["", false, false],
    ]);
  });

  test("the rewrite of a stale value carries its version and no body; the same value for another key is a value", async (t) => {
    const { daemon, host } = scene(t);
    await host.handler().get("/a", PAGE);
    await host.handler().set("/a", appPage("x"), { ...PAGE, cacheControl: { revalidate: 1, expire: 60 } });
    await new Promise((resolve) => setTimeout(resolve, 1050));
    const stale = await host.handler().get("/a", PAGE);
    await host.handler().set("/a", stale?.value as HostValue, { ...PAGE, cacheControl: { revalidate: 3, expire: 60 } });
    const [first, rewrite] = daemon.frames("set");
    assert.deepEqual(rewrite?.rewriteOf, first?.base);
    assert.deepEqual([rewrite?.entry, rewrite?.retryAfterMs], [undefined, 3000]);
    assert.ok(rewrite && rewrite.leaseToken > 0n, "it ends the lease");
    assert.equal(daemon.store.leases, 0);
  });

  test("what is uncacheable is rendered without a lease, and its set competes by the base that it was given", async (t) => {
    const { daemon, host } = scene(t);
    const base = { epoch: 7n, seq: 1n, token: 5n };
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      answer({ case: "get", value: { status: Status.MISS, reason: Reason.UNCACHEABLE, base } });
      return true;
    };
    const handler = host.handler();
    assert.equal(await handler.get("/u", PAGE), null);
    await handler.set("/u", appPage("x"), hour);
    const set = daemon.frames("set").at(-1);
    assert.deepEqual([set?.base?.token, set?.leaseToken, set?.position], [5n, 0n, undefined]);
  });

  test("what the daemon could not ask its store about is fresh for a moment; a fetch has its true age", async (t) => {
    const { daemon, host } = scene(t);
    const version = { epoch: 7n, seq: 1n, token: 1n };
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      const isFetch = frame.value.key?.name === "/f";
      const body = { name: "body", data: Buffer.from("x") };
      const entry = isFetch
        ? { kind: Kind.FETCH, parts: [body], attributes: { revalidate: "3600" } }
        : {
            kind: Kind.APP_ROUTE,
            status: 200,
            parts: [body],
            lifetime: { revalidateSeconds: 3600, expireSeconds: 7200 },
          };
      const found = { status: Status.HIT, reason: Reason.STORE_UNAVAILABLE, ageMs: 60_000n };
      answer({ case: "get", value: { ...found, version, base: version, asOf: daemon.store.position(), entry } });
      return true;
    };
    const age = (answer: HostAnswer | null) => performance.timeOrigin + performance.now() - (answer?.lastModified ?? 0);
    const page = await host.handler().get("/p", PAGE);
    assert.deepEqual(page?.cacheControl, { revalidate: 1, expire: 7200 });
    assert.ok(age(page) < 900);
    const data = await host.handler().get("/f", { kind: "FETCH" });
    assert.ok(age(data) >= 60_000 && age(data) < 61_000);
    await host.handler().get("/p", PAGE);
    assert.equal(daemon.frames("get").length, 3, "and none is kept");
  });

  test("a handler that was loaded late counts from when its request had it", async (t) => {
    const { host } = scene(t);
    await host.handler().get("connect", PAGE);
    const madeAt = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await host.handler().revalidateTag("t");
    const late = new Handler({}, host.runtime, madeAt);
    await late.set("f", fetched("old", ["t"]), { fetchCache: true });
    assert.equal(await host.handler().get("f", { kind: "FETCH" }), null);
    await host.handler().set("f", fetched("new", ["t"]), { fetchCache: true });
    assert.ok(await host.handler().get("f", { kind: "FETCH" }));
  });

  test("a stale fetch that is fetched again is written with the base of its get", async (t) => {
    const { daemon, host } = scene(t);
    await host.handler().get("/f", { kind: "FETCH" });
    await host.handler().set("/f", fetched("1", ["t"]), { fetchCache: true });
    await host.handler().revalidateTag("t", { expire: 60 });
    for (const body of ["2", "3"]) await host.handler().get("/f", { kind: "FETCH", tags: [body] });
    await host.handler().set("/f", fetched("2", ["t"]), { fetchCache: true });
    assert.ok(daemon.frames("set").at(-1)?.base);
  });
});

describe("a request's end", () => {
  let server: Server;
  let url = "";
  const { daemon, host } = scene({ after: (hook) => after(hook) });
  const problems: unknown[] = [];
  const pages = new Map<string, (headers: HostContext["_requestHeaders"]) => Promise<number>>();

  before(async () => {
    host.runtime.scopes.watch();
    server = createServer(async (request, response) => {
      const page = pages.get(request.url ?? "") ?? (() => Promise.resolve(404));
      const failed = (error: unknown): number => {
        problems.push(error);
        return 599;
      };
      response.statusCode = await page(request.headers).catch(failed);
      response.end("done");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => assert.deepEqual(problems.splice(0), []));
  after(() => {
    server.close();
    server.closeAllConnections();
  });

  const request = (path: string, headers: Record<string, string> = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      get(`${url}${path}`, { headers, agent: false }, (response) => {
        response.resume().on("end", () => resolve(response.statusCode ?? 0));
      }).on("error", reject);
    });

  test("a render that fails gives its lease back with the response", async () => {
    pages.set("/fails", async (headers) => {
      assert.equal(await host.handler(headers).get("/fails", PAGE), null);
      assert.equal(daemon.store.leases, 1);
      return 500;
    });
    assert.equal(await request("/fails"), 500);
    await until("the lease is given back", () => daemon.store.leases === 0);
    assert.deepEqual(
      daemon.frames("release").map(({ completed }) => completed),
      [false],
    );
    assert.equal(host.runtime.client.counters.releases, 1);
  });

  test("a render that ends well and is not written says so: the next one will end in the same way", async () => {
    for (const status of [200, 404, 499]) {
      pages.set(`/${status}`, async (headers) => {
        assert.equal(await host.handler(headers).get(`/${status}`, PAGE), null);
        return status;
      });
      await request(`/${status}`);
      await until("the lease is given back", () => daemon.store.leases === 0);
      assert.equal(daemon.frames("release").at(-1)?.completed, true, `status ${status}`);
    }
  });

  test("a render without a lease gives nothing back, however it ends", async () => {
    const before = daemon.frames("release").length;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      const base = { ...daemon.store.position(), token: 5n };
      answer({ case: "get", value: { status: Status.MISS, reason: Reason.UNCACHEABLE, base } });
      return true;
    };
    for (const [path, status] of [
      ["/dynamic", 200],
      ["/broken", 500],
    ] as const) {
      pages.set(path, async (headers) => {
        assert.equal(await host.handler(headers).get(path, PAGE), null);
        return status;
      });
      assert.equal(await request(path), status);
    }
    daemon.intercept = undefined;
    await request("/unknown");
    assert.equal(daemon.frames("release").length, before);
  });

  test("a handler that was given a copy of the headers is found by its asynchronous context", async () => {
    pages.set("/copy", async (headers) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await host.handler({ ...headers }).get("/copy", PAGE);
      return 500;
    });
    await request("/copy");
    await until("the lease is given back", () => daemon.store.leases === 0);
  });

  test("a render that is written gives nothing back", async () => {
    const before = daemon.frames("release").length;
    pages.set("/works", async (headers) => {
      await host.handler(headers).get("/works", PAGE);
      await host.handler(headers).set("/works", appPage("x"), hour);
      return 200;
    });
    assert.equal(await request("/works"), 200);
    await request("/unknown");
    assert.equal(daemon.frames("release").length, before);
  });

  test("the lease of a stale page outlives the response: the render comes after it", async () => {
    pages.set("/stale", async (headers) => {
      await host.handler(headers).get("/stale", PAGE);
      await host.handler(headers).set("/stale", appPage("x", "stale-tag"), hour);
      await host.handler(headers).revalidateTag("stale-tag", { expire: 60 });
      assert.ok(await host.handler(headers).get("/stale", PAGE));
      return 200;
    });
    await request("/stale");
    await request("/unknown");
    assert.equal(daemon.store.leases, 1);
    daemon.disconnectAll();
    await until("the session is back", () => daemon.store.leases === 0 && host.runtime.session.state === "ready");
  });

  test("that of a fetch does not: it was no success if it is not written by then; nor that of a page in the background", async () => {
    const kind = { kind: "FETCH" } as const;
    pages.set("/fetches", async (headers) => {
      await host.handler(headers).get("/f", kind);
      assert.equal(daemon.store.leases, 1);
      return 200;
    });
    await request("/fetches");
    await until("the lease is given back", () => daemon.store.leases === 0);
    assert.equal(daemon.frames("release").at(-1)?.completed, true);
    let done = (): void => {};
    const background = new Promise<void>((resolve) => (done = resolve));
    pages.set("/behind", (headers) => {
      setTimeout(async () => {
        await host.handler(headers).get("/g", kind);
        assert.equal(daemon.store.leases, 1);
        await host.handler(headers).set("/behind", appPage("x"), hour);
        done();
      }, 50);
      return Promise.resolve(200);
    });
    await request("/behind");
    await background;
    await until("the lease is given back", () => daemon.store.leases === 0);
    assert.equal(daemon.frames("release").at(-1)?.completed, false);
  });

  test("an aborted request goes on rendering, and its set comes", async () => {
    let rendered: (() => void) | undefined;
    const finished = new Promise<void>((resolve) => {
      rendered = resolve;
    });
    pages.set("/aborted", async (headers) => {
      await host.handler(headers).get("/aborted", PAGE);
      client.destroy();
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(daemon.store.leases, 1, "close is not finish");
      await host.handler(headers).set("/aborted", appPage("x"), hour);
      rendered?.();
      return 200;
    });
    const client = get(`${url}/aborted`, { agent: false }).on("error", () => {});
    await finished;
    assert.ok(await host.handler().get("/aborted", PAGE));
  });

  test("a prefetch is known by its raw headers, which Next.js strips", async () => {
    pages.set("/prefetch", async (headers) => {
      delete headers?.["next-router-prefetch"];
      await host.handler(headers).get("/prefetch", PAGE);
      return 200;
    });
    await request("/prefetch", { rsc: "1", "Next-Router-Prefetch": "1" });
    assert.equal(daemon.frames("get").at(-1)?.noLease, true);
    assert.equal(daemon.store.leases, 0);
    await host.handler({ "next-router-prefetch": "1" }).get("/prefetch", { kindHint: "app" });
    assert.equal(daemon.frames("get").at(-1)?.noLease, false, "14 renders for it as for any other");
    await host.handler().set("/prefetch", appPage("x"), hour);
  });

  test("an old page that is not found, given back after a failed render, stays the old one", async (t) => {
    const { daemon, host } = scene(t);
    const version = { epoch: 7n, seq: 1n, token: 1n };
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "get") return false;
      const entry = { kind: Kind.NOT_FOUND, lifetime: { revalidateSeconds: 3600 } };
      const lease = { token: 5n, ttlMs: 1000 };
      answer({
        case: "get",
        value: { status: Status.STALE, reason: Reason.TAG_STALE, version, base: version, entry, lease },
      });
      return true;
    };
    const answer = await host.handler().get("/gone", PAGE);
    assert.deepEqual([answer?.value, answer?.cacheControl?.revalidate], [null, 1]);
    await host.handler().set("/gone", null, { ...PAGE, cacheControl: { revalidate: 3 } });
    const [rewrite] = daemon.frames("set");
    assert.equal(rewrite?.rewriteOf?.token, 1n);
    assert.equal(rewrite?.entry, undefined);
    await host.handler().set("/gone", null, { ...PAGE, cacheControl: { revalidate: 3600 } });
    assert.equal(daemon.frames("set").at(-1)?.entry?.kind, Kind.NOT_FOUND, "and news is news");
  });

  test("build output that is past its time leaves the lease that came after it to the render", async (t) => {
    const { daemon, host } = scene(t);
    const base = { epoch: 7n, seq: 1n, token: 1n };
    let gets = 0;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case === "set" && frame.value.onlyIfAbsent) {
        answer({ case: "set", value: { outcome: Outcome.ACCEPTED, version: base } });
        return true;
      }
      if (frame.case !== "get") return false;
      gets += 1;
      const reason = gets === 1 ? Reason.ABSENT : Reason.EXPIRED;
      answer({
        case: "get",
        value: { status: Status.MISS, reason, base, lease: { token: BigInt(gets), ttlMs: 1000 } },
      });
      return true;
    };
    const seed = { value: appPage("built"), builtAtMs: 1, cacheControl: { revalidate: 60, expire: 600 } };
    t.mock.method(host.runtime.output, "seedOf", () => Promise.resolve({ ...seed, outdated: false, closed: false }));
    const handler = host.handler();
    assert.equal(await handler.get("/built", PAGE), null);
    await handler.set("/built", appPage("new"), hour);
    assert.deepEqual(
      daemon.frames("set").map(({ leaseToken }) => leaseToken),
      [1n, 2n],
    );
  });

  test("builds share fetches and not pages, or as ISRD_BUILD_SCOPE and ISRD_FETCH_SCOPE have it", async (t) => {
    for (const [env, shared] of [
      [{}, { page: false, fetch: true }],
      [{ ISRD_BUILD_SCOPE: "app" }, { page: true, fetch: true }],
      [
        { ISRD_BUILD_SCOPE: "app", ISRD_FETCH_SCOPE: "build" },
        { page: true, fetch: false },
      ],
    ] as const) {
      const { dial } = dialMemory(new FakeDaemon());
      const [one, two] = ["b1", "b2"].map((buildId) => startHost({ dial, env, buildId })) as [FakeHost, FakeHost];
      t.after(() => [one, two].map((host) => host.close()));
      await one.handler().get("connect", PAGE);
      await one.handler().set("/page", appPage("x"), hour);
      await one.handler().set("f", fetched("x"), { fetchCache: true });
      const page = await two.handler().get("/page", PAGE);
      const data = await two.handler().get("f", { kind: "FETCH" });
      assert.deepEqual({ page: page !== null, fetch: data !== null }, shared, JSON.stringify(env));
    }
  });
});
