import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { Reason, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { Kind, Space } from "../src/gen/isrd/v1/entry_pb.js";
import { dialGrpc } from "../src/grpc-transport.js";
import type { HostCacheEntry } from "../src/next/use-cache.js";
import { UseCache } from "../src/use-cache.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { type FakeHost, startHost } from "./support/host.js";
import { dialMemory } from "./support/memory-transport.js";
import { startRealDaemon } from "./support/real-daemon.js";
import { timed, until } from "./support/until.js";
import { cachedEntry, failingStream, textOf } from "./support/use-cache.js";
import { appPage } from "./support/values.js";

const INFINITE = 0xffff_fffe;

interface Scene {
  daemon: FakeDaemon;
  host: FakeHost;
  cache: UseCache;
  /** Another process. */
  away: FakeHost;
  other: UseCache;
}

function scene(t: TestContext, env: NodeJS.ProcessEnv = {}): Scene {
  const daemon = new FakeDaemon();
  daemon.welcome = { waitLimitMs: 100, fetchWaitLimitMs: 100 };
  const { dial } = dialMemory(daemon);
  const [host, away] = [0, 1].map(() => startHost({ dial, env: { ISRD_TIMEOUT_MS: "500", ...env } })) as [
    FakeHost,
    FakeHost,
  ];
  t.after(() => {
    host.close();
    away.close();
  });
  return { daemon, host, away, cache: new UseCache(host.runtime), other: new UseCache(away.runtime) };
}

/** Asks for a key in vain, calls the function, and keeps what it has returned. */
async function fill(
  cache: UseCache,
  key: string,
  text: string | string[],
  more: Partial<HostCacheEntry> = {},
): Promise<HostCacheEntry> {
  assert.equal(await cache.get(key, []), undefined);
  const entry = cachedEntry(text, more);
  await cache.set(key, Promise.resolve(entry));
  return entry;
}

const now = (): number => performance.timeOrigin + performance.now();

/** Next.js's own judgement of an entry. */
function judged(entry: HostCacheEntry | undefined): "fresh" | "stale" | "gone" {
  if (!entry || now() > entry.timestamp + entry.expire * 1000) return "gone";
  return now() > entry.timestamp + entry.revalidate * 1000 ? "stale" : "fresh";
}

describe("what is kept comes back", () => {
  test("to the digit and to the byte, in this process and in another, through the real daemon", async (t) => {
    const daemon = await startRealDaemon();
    const env = { ISRD_ADDRESS: daemon.address, ISRD_TIMEOUT_MS: "2000" };
    const hosts = [0, 1].map(() => startHost({ dial: dialGrpc, env }));
    t.after(async () => {
      for (const host of hosts) host.close();
      await daemon.stop();
    });
    const [a, b] = hosts.map(({ runtime }) => new UseCache(runtime)) as [UseCache, UseCache];
    const tags = ["a", "_N_RP_lang", "a", "é, with a comma"];
    const more = { tags, stale: 0.5, revalidate: 900.25, expire: INFINITE };
    const { value: _, ...meta } = await fill(a, "k", "é\u0000", more);
    for (const cache of [b, b, a]) {
      const got = await cache.get("k", ["soft"]);
      assert.ok(got);
      const { value, ...rest } = got;
      assert.deepStrictEqual(rest, meta);
      assert.equal(await textOf(value), "é\u0000");
    }
  });

  test("each reader has a stream of its own, in several chunks or none", async (t) => {
    const { cache, other } = scene(t);
    await fill(cache, "many", ["a", "b", "", "c"]);
    await fill(cache, "none", []);
    const [one, two] = [await cache.get("many", []), await cache.get("many", [])];
    assert.notEqual(one?.value, two?.value);
    for (const got of [one, two, await other.get("many", [])]) assert.equal(await textOf(got?.value), "abc");
    for (const from of [cache, other]) assert.equal(await textOf((await from.get("none", []))?.value), "");
  });

  test("what is known to be fresh is not asked for", async (t) => {
    const { daemon, cache } = scene(t);
    await fill(cache, "k", "x");
    await cache.get("k", ["soft"]);
    const asked = daemon.frames("get").length;
    for (let i = 0; i < 5; i++) assert.equal(await textOf((await cache.get("k", ["soft"]))?.value), "x");
    assert.equal(daemon.frames("get").length, asked);
  });
});

describe("what is not kept", () => {
  test("a stream that fails, a promise that rejects, no stream of bytes: the lease is given back, and who waits is let go", async (t) => {
    const { daemon, cache, other } = scene(t);
    daemon.welcome = { waitLimitMs: 2000 };
    const text = new ReadableStream({ start: (c) => c.enqueue("text") });
    const bad: [string, () => Promise<HostCacheEntry>][] = [
      ["fails", () => Promise.resolve({ ...cachedEntry(""), value: failingStream("half") })],
      ["rejects", () => Promise.reject(new Error("no"))],
      ["text", () => Promise.resolve({ ...cachedEntry(""), value: text as never })],
    ];
    for (const [key, make] of bad) {
      assert.equal(await cache.get(key, []), undefined);
      assert.equal(daemon.store.leases, 1);
      const waiting = timed(() => other.get(key, []));
      await cache.set(key, make());
      const { result, ms } = await waiting;
      assert.equal(result, undefined);
      assert.ok(ms < 1500, `${key}: waited ${ms} ms`);
      assert.equal(daemon.frames("set").length, 0);
      await other.set(key, Promise.reject(new Error("no")));
      await until("the lease is given back", () => daemon.store.leases === 0);
    }
  });

  test("an entry that has expired when it is made: the daemon learns that nobody need wait for the next", async (t) => {
    const { daemon, cache } = scene(t);
    for (const expire of [0, -1, Number.NaN]) {
      await fill(cache, "dynamic", "x", { expire, revalidate: 0 });
      assert.equal(daemon.frames("set").length, 0);
      await until("the lease is given back", () => daemon.store.leases === 0);
      assert.equal(daemon.frames("release").at(-1)?.completed, true);
    }
  });
});

describe("Next.js's judgement comes out as the daemon's", () => {
  test("by whatever clock: hours of difference between two processes", async (t) => {
    const { daemon, cache } = scene(t);
    const answer = (status: Status, reason: Reason, ageMs: bigint, skewMs: number): void => {
      daemon.intercept = ({ frame }, reply) => {
        if (frame.case !== "get") return false;
        const version = { epoch: 7n, seq: 1n, token: 1n };
        const attributes = { stale: "1", revalidate: "60", expire: "120", timestamp: String(now() + skewMs) };
        const entry = { kind: Kind.USE_CACHE, parts: [{ name: "value", data: Buffer.from("x") }], attributes };
        reply({ case: "get", value: { status, reason, ageMs, version, base: version, entry } });
        return true;
      };
    };
    for (const skewMs of [0, 7_200_000, -7_200_000, -59_000]) {
      const cases: [Status, Reason, bigint, string][] = [
        [Status.HIT, Reason.UNSPECIFIED, 30_000n, "fresh"],
        [Status.HIT, Reason.UNSPECIFIED, 60_100n, "fresh"],
        [Status.STALE, Reason.REVALIDATE, 60_000n, "stale"],
        [Status.STALE, Reason.REVALIDATE, 119_990n, "stale"],
        [Status.STALE, Reason.TAG_STALE, 10n, "stale"],
      ];
      for (const [index, [status, reason, ageMs, want]] of cases.entries()) {
        answer(status, reason, ageMs, skewMs);
        const got = await cache.get(`${skewMs}-${index}`, []);
        assert.equal(judged(got), want, `skew ${skewMs}, case ${index}`);
        assert.equal(got?.expire, 120);
        assert.equal(got?.revalidate, reason === Reason.TAG_STALE ? 1 : 60, "lifetimes are untouched");
      }
    }
  });

  test("a long call's lifetime began when it did", async (t) => {
    const { daemon, host, away, cache, other } = scene(t);
    assert.equal(await cache.get("slow", []), undefined);
    const entry = cachedEntry("x", { revalidate: 60 });
    await new Promise((resolve) => setTimeout(resolve, 300)); // the call
    await cache.set("slow", Promise.resolve(entry));
    const [set] = daemon.frames("set");
    assert.ok(set && set.ageMs >= 299 && set.ageMs < 2000, `age ${set?.ageMs}`);
    for (const from of [cache, other]) assert.equal((await from.get("slow", []))?.timestamp, entry.timestamp);
    for (const { runtime } of [host, away]) {
      const bornAt = runtime.near.held({ space: Space.USE_CACHE, name: "slow" })?.bornAt ?? Number.NaN;
      assert.ok(bornAt <= performance.now() - 299, "what is held is as old");
    }
  });
});

describe("tags", () => {
  test("explicit and soft, hard and with an expiry, of this process and of another", async (t) => {
    const { cache, other } = scene(t);
    for (const [from, to] of [
      [cache, other],
      [other, cache],
    ] as const) {
      const key = from === cache ? "1" : "2";
      await fill(from, `${key}-own`, "x", { tags: [`own-${key}`] });
      await fill(from, `${key}-soft`, "x");
      await from.updateTags([`own-${key}`], { expire: 60 });
      const stale = await to.get(`${key}-own`, []);
      assert.equal(judged(stale), "stale");
      assert.equal(stale?.revalidate, 1, "a page that takes it for its own is a 500 with less");
      await from.updateTags([`own-${key}`, `path-${key}`]);
      assert.equal(await to.get(`${key}-own`, []), undefined);
      assert.equal(judged(await to.get(`${key}-soft`, [])), "fresh");
      assert.equal(await to.get(`${key}-soft`, [`path-${key}`]), undefined);
    }
  });

  test("the same revalidation by both handlers in one turn is one event; a later one is one more", async (t) => {
    const { daemon, host, cache } = scene(t);
    await cache.get("connect", []);
    const both = () => [host.handler().revalidateTag(["a", "b"]), cache.updateTags(["b", "a"])];
    await Promise.all(both());
    assert.equal(daemon.frames("revalidate").length, 1);
    const first = both();
    await Promise.resolve().then(() => Promise.resolve());
    await Promise.all([...first, cache.updateTags(["a"])]);
    assert.ok(daemon.frames("revalidate").length > 2, "what is on its way is not joined");
  });

  test("content from before a revalidation is not served after it, also if no get came before its set", async (t) => {
    const { cache, other } = scene(t);
    await cache.get("connect", []);
    const began = now();
    await cache.updateTags(["t"]);
    await other.get("connect", []);
    await cache.set("k", Promise.resolve(cachedEntry("old", { tags: ["t"], timestamp: began })));
    for (const from of [cache, other]) assert.equal(await from.get("k", []), undefined);
    await cache.set("k", Promise.resolve(cachedEntry("new", { tags: ["t"] })));
    for (const from of [cache, other]) assert.equal(await textOf((await from.get("k", []))?.value), "new");
  });

  test("a set without a get does not count from the get of another, younger call", async (t) => {
    const { daemon, cache, other } = scene(t);
    await cache.get("connect", []);
    const began = now();
    await other.updateTags(["t"]);
    assert.equal(await cache.get("k", []), undefined);
    await cache.set("k", Promise.resolve(cachedEntry("old", { tags: ["t"], timestamp: began })));
    assert.equal(await other.get("k", []), undefined);
    assert.equal(daemon.frames("set").length, 1);
  });
});

describe("a page that has joined a call, for which Next.js asks nobody", () => {
  const PAGE = { kind: "APP_PAGE", isFallback: false } as const;
  const written = { ...PAGE, cacheControl: { revalidate: 3600, expire: 7200 } };

  test("counts from the call, although it began when the call was over and its set was not", async (t) => {
    const { daemon, host, cache, other } = scene(t);
    await other.get("connect", []);
    assert.equal(await cache.get("f", []), undefined);
    const entry = cachedEntry("old", { tags: ["t"] });
    let answer = (): void => {};
    const holder = { app: "shop", build: { buildId: "build-1", deploymentId: "" }, gone: false };
    daemon.intercept = ({ frame: { case: kind, value } }, reply) => {
      if (kind !== "set") return false;
      answer = () => reply({ case: "set", value: daemon.store.set(value, holder) });
      return true;
    };
    const set = cache.set("f", Promise.resolve(entry));
    await until("the set is under way", () => daemon.frames("set").length === 1);
    daemon.intercept = undefined;
    await new Promise((resolve) => setTimeout(resolve, 5));
    await other.updateTags(["t"]);
    const handler = host.handler();
    assert.equal(await handler.get("/p", PAGE), null);
    answer();
    await set; // who has joined goes on only now
    await handler.set("/p", appPage("old", "t"), written);
    assert.equal(await host.handler().get("/p", PAGE), null);
  });

  test("counts from the call, although its result is not kept", async (t) => {
    const { host, cache, other } = scene(t);
    await other.get("connect", []);
    assert.equal(await cache.get("f", []), undefined);
    const entry = cachedEntry("old", { tags: ["t"], expire: 0, revalidate: 0 });
    await other.updateTags(["t"]);
    const handler = host.handler();
    assert.equal(await handler.get("/p", PAGE), null);
    await cache.set("f", Promise.resolve(entry));
    await handler.set("/p", appPage("old", "t"), written);
    assert.equal(await host.handler().get("/p", PAGE), null);
  });
});

describe("a function that is called by another later in the same request, for which Next.js 16 asks nobody", () => {
  /** Does something in a request of its own. */
  async function inRequest(t: TestContext, { host }: Scene, act: () => Promise<void>): Promise<void> {
    host.runtime.scopes.watch();
    let failure: unknown;
    const server = createServer((_, response) => {
      void act()
        .catch((error: unknown) => (failure = error))
        .finally(() => response.end());
    });
    t.after(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    if (failure) throw failure;
  }

  const later = (): Promise<HostCacheEntry> => Promise.resolve(cachedEntry("outer of old", { tags: ["t", "outer"] }));
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

  test("its result was stale: it is told to be of a time of which Next.js keeps nothing", async (t) => {
    const { cache, other } = scene(t);
    for (const [key, expire, timestamp] of [
      ["long", 7200, 0],
      ["for ever", INFINITE, 0],
      ["too short for a shell", 120, undefined],
    ] as const) {
      await fill(cache, key, "old", { tags: ["t"], expire });
      await other.updateTags(["t"], { expire: 60 });
      const got = await cache.get(key, []);
      assert.equal(judged(got), "stale");
      assert.deepEqual([got?.timestamp === 0, got?.revalidate], [timestamp === 0, 1]);
    }
  });

  for (const [how, make] of [
    ["read", (cache: UseCache) => cache.get("inner", []).then((entry) => assert.equal(judged(entry), "fresh"))],
    ["called", (cache: UseCache) => cache.set("inner", Promise.resolve(cachedEntry("old", { tags: ["t"] })))],
  ] as const) {
    test(`its result was invalidated since it was ${how}: the caller's is not kept`, async (t) => {
      const all = scene(t);
      const { cache, other } = all;
      await fill(other, "inner", "old", { tags: ["t"] });
      await inRequest(t, all, async () => {
        await pause();
        await make(cache);
        await other.updateTags(["t"]);
        assert.equal(await cache.get("outer", []), undefined);
        await pause();
        await cache.set("outer", later());
      });
      assert.equal(await other.get("outer", []), undefined);
    });
  }
});

describe("waiting", () => {
  test("a get waits for this process's own set of its key, and asks nobody meanwhile", async (t) => {
    const { daemon, cache } = scene(t);
    assert.equal(await cache.get("k", []), undefined);
    let give: (entry: HostCacheEntry) => void = () => {};
    const set = cache.set("k", new Promise((resolve) => (give = resolve)));
    const asked = daemon.frames("get").length;
    const waiting = [cache.get("k", []), cache.get("k", [])];
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(daemon.frames("get").length, asked);
    give(cachedEntry("x"));
    for (const got of await Promise.all(waiting)) assert.equal(await textOf(got?.value), "x");
    await set;
  });

  test("not for ever: a set that does not end is a miss", async (t) => {
    const { cache } = scene(t);
    assert.equal(await cache.get("k", []), undefined);
    void cache.set("k", new Promise(() => {}));
    const { result, ms } = await timed(() => cache.get("k", []));
    assert.equal(result, undefined);
    assert.ok(ms >= 95 && ms < 900, `took ${ms} ms`);
  });
});

describe("the lease of a stale result", () => {
  const LIMIT_MS = 150;

  /** What `cache` reads stale, with the lease. */
  async function readStale({ cache, daemon, host }: Scene): Promise<UseCache> {
    await fill(cache, "k", "old", { tags: ["t"] });
    await cache.updateTags(["t"], { expire: 60 });
    const limited = new UseCache(host.runtime, LIMIT_MS);
    assert.equal(judged(await limited.get("k", [])), "stale");
    assert.equal(daemon.store.leases, 1);
    return limited;
  }

  test("Next.js does not call the function: it is given back in time, and another has it", async (t) => {
    const all = scene(t);
    const { daemon, other } = all;
    await readStale(all);
    assert.equal(daemon.frames("release").length, 0, "not at once");
    await until("the lease is given back", () => daemon.store.leases === 0);
    assert.deepEqual(
      daemon.frames("release").map(({ completed }) => completed),
      [false],
    );
    assert.equal(judged(await other.get("k", [])), "stale");
    assert.equal(daemon.store.leases, 1);
  });

  test("it stays while a set is under way, as 15.5 begins one with the call", async (t) => {
    const all = scene(t);
    const { daemon, other } = all;
    const cache = await readStale(all);
    let give: (entry: HostCacheEntry) => void = () => {};
    const set = cache.set("k", new Promise((resolve) => (give = resolve)));
    await new Promise((resolve) => setTimeout(resolve, 2 * LIMIT_MS));
    assert.equal(daemon.store.leases, 1);
    give(cachedEntry("new"));
    await set;
    assert.equal(await textOf((await other.get("k", []))?.value), "new");
    assert.deepEqual([daemon.store.leases, daemon.frames("release").length], [0, 0]);
  });

  test("a set that comes later than that, as 16 begins one with the result, is kept", async (t) => {
    const all = scene(t);
    const { daemon, other } = all;
    const cache = await readStale(all);
    const timestamp = now();
    await until("the lease is given back", () => daemon.store.leases === 0);
    await cache.set("k", Promise.resolve(cachedEntry("new", { timestamp })));
    assert.equal(await textOf((await other.get("k", []))?.value), "new");
    assert.equal(judged(await other.get("k", [])), "fresh");
  });

  test("after a set nothing is given back", async (t) => {
    const all = scene(t);
    const cache = await readStale(all);
    await cache.set("k", Promise.resolve(cachedEntry("new")));
    await new Promise((resolve) => setTimeout(resolve, 2 * LIMIT_MS));
    assert.equal(all.daemon.frames("release").length, 0);
  });
});

describe("without a daemon", () => {
  test("what this process keeps it has, until it revalidates it; nothing rejects", async (t) => {
    const { daemon, cache } = scene(t, { ISRD_TIMEOUT_MS: "50", ISRD_REVALIDATE_TIMEOUT_MS: "50" });
    await cache.get("connect", []);
    daemon.deaf = true;
    assert.equal(await cache.get("k", []), undefined);
    daemon.disconnectAll();
    for (let i = 0; i < 3; i++) await cache.get(`x${i}`, []);
    await cache.set("k", Promise.resolve(cachedEntry("x", { tags: ["t"] })));
    assert.equal(await textOf((await cache.get("k", []))?.value), "x");
    await cache.updateTags(["t"]);
    assert.equal(await cache.get("k", []), undefined);
  });
});
