import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { HostAnswer, HostGetContext } from "../../src/next/values.js";
import type { Dial } from "../../src/transport.js";
import { breakable } from "./breakable.js";
import { type FakeHost, PREVIEW_ID, startHost } from "./host.js";
import { timed, until } from "./until.js";
import { appPage, fetched, pagesPage, RandomValues, route } from "./values.js";

/** A daemon to run the suite against. Its entries need not be empty: the suite uses keys of its own. */
export interface DaemonUnderTest {
  readonly dial: Dial;
  readonly env: NodeJS.ProcessEnv;
  stop(): Promise<void> | void;
}

const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
const FETCH = { kind: "FETCH" } satisfies HostGetContext;
const hour = { ...PAGE, cacheControl: { revalidate: 3600, expire: 7200 } };

let run = 0;

/** What every daemon owes to a Next.js process, seen through the handler: run once for each implementation. */
export function contract(name: string, start: () => Promise<DaemonUnderTest>): void {
  describe(`contract: ${name}`, () => {
    let daemon: DaemonUnderTest;
    const hosts: FakeHost[] = [];
    run += 1;
    const app = `contract-${process.pid}-${run}`;
    let keys = 0;
    const newKey = (): string => `/route-cache/APP_PAGE/x/$/page-${(keys += 1)}`;
    const host = (options: { buildId?: string; app?: string; env?: NodeJS.ProcessEnv; dial?: Dial } = {}): FakeHost => {
      const env = { ...daemon.env, ISRD_TIMEOUT_MS: "2000", ...options.env };
      const started = startHost({ app, dial: daemon.dial, ...options, env });
      hosts.push(started);
      return started;
    };
    const nearHits = (one: FakeHost): number => one.runtime.client.counters.nearHits;
    const isFresh = (answer: HostAnswer | null, seconds: number): void => {
      assert.ok(answer);
      const age = performance.timeOrigin + performance.now() - answer.lastModified;
      assert.ok(age >= -5 && age < seconds * 1000, `age is ${age} ms`);
    };

    before(async () => {
      daemon = await start();
    });
    after(async () => {
      for (const started of hosts) started.close();
      await daemon.stop();
    });

    test("what one process renders, another serves, to the byte", async () => {
      const [a, b] = [host(), host()];
      for (const value of [appPage("<h1>é日🚀</h1>"), pagesPage("<p>"), route("body"), null]) {
        const key = newKey();
        assert.equal(await a.handler().get(key, PAGE), null);
        await a.handler().set(key, value, hour);
        const answer = await b.handler().get(key, PAGE);
        assert.ok(answer);
        assert.deepStrictEqual(answer.value, value);
        assert.deepStrictEqual(answer.cacheControl, { revalidate: 3600, expire: 7200 });
        isFresh(answer, 5);
      }
    });

    test("random values survive the daemon", async () => {
      const one = host();
      for (let seed = 0; seed < 150; seed++) {
        const value = new RandomValues(seed).value();
        const isFetch = value?.kind === "FETCH";
        if (isFetch && value.revalidate === 0) continue;
        const context = { ...(isFetch ? FETCH : PAGE), ...(value?.kind === "IMAGE" ? { kind: "IMAGE" } : {}) };
        const key = `${newKey()}-${seed}`;
        assert.equal(await one.handler().get(key, context), null);
        await one.handler().set(key, value, { ...context, cacheControl: { revalidate: 3600 } });
        assert.deepStrictEqual((await one.handler().get(key, context))?.value, value, `seed ${seed}`);
      }
    });

    test("without revalidate an entry lives for ever, and says so", async () => {
      const one = host();
      const key = newKey();
      await one.handler().get(key, PAGE);
      await one.handler().set(key, appPage("x"), { ...PAGE, cacheControl: { revalidate: false } });
      assert.deepStrictEqual((await one.handler().get(key, PAGE))?.cacheControl, { revalidate: false });
    });

    test("one of many renders a cold page; the others wait for its set", async () => {
      const [a, b, c] = [host(), host(), host()];
      const key = newKey();
      assert.equal(await a.handler().get(key, PAGE), null);
      const waiting = [b, b, c].map((other) => other.handler().get(key, PAGE));
      let answered = 0;
      for (const answer of waiting) answer.then(() => (answered += 1));
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(answered, 0, "nobody else renders meanwhile");
      const page = appPage("once");
      await a.handler().set(key, page, hour);
      for (const answer of await Promise.all(waiting)) assert.deepStrictEqual(answer?.value, page);
    });

    test("a waiting process renders as soon as the other's response has ended without a set", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      const headers = {};
      assert.equal(await a.handler(headers).get(key, PAGE), null);
      const waiting = timed(() => b.handler().get(key, PAGE));
      await new Promise((resolve) => setTimeout(resolve, 50));
      const scope = a.runtime.scopes.current(headers);
      assert.equal(scope?.renders.size, 1);
      for (const render of scope?.renders ?? []) a.runtime.client.abandon(render, true);
      const { result, ms } = await waiting;
      assert.equal(result, null);
      assert.ok(ms < 1000, `took ${ms} ms`);
    });

    test("a waiting process renders as soon as the other has gone", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      assert.equal(await a.handler().get(key, PAGE), null);
      const waiting = timed(() => b.handler().get(key, PAGE));
      await new Promise((resolve) => setTimeout(resolve, 50));
      a.close();
      const { result, ms } = await waiting;
      assert.equal(result, null);
      assert.ok(ms < 1500, `took ${ms} ms`);
    });

    test("an expired page: one regenerates, to the others the old one is fresh for a moment", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      await a.handler().get(key, PAGE);
      const old = appPage("old");
      await a.handler().set(key, old, { ...PAGE, cacheControl: { revalidate: 1, expire: 3600 } });
      await new Promise((resolve) => setTimeout(resolve, 1100));
      const first = await a.handler().get(key, PAGE);
      assert.deepStrictEqual(first?.value, old);
      assert.ok(performance.timeOrigin + performance.now() - (first?.lastModified ?? 0) > 1000, "stale for Next.js");
      const second = await b.handler().get(key, PAGE);
      assert.deepStrictEqual(second?.value, old);
      isFresh(second, 1);
      assert.deepStrictEqual(second?.cacheControl, { revalidate: 1, expire: 3600 });
      const fresh = appPage("new");
      await a.handler().set(key, fresh, hour);
      assert.deepStrictEqual((await b.handler().get(key, PAGE))?.value, fresh);
    });

    test("the old value given back after a failed render stays the old version, and is not tried again at once", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      await a.handler().get(key, PAGE);
      await a.handler().set(key, appPage("old"), { ...PAGE, cacheControl: { revalidate: 1, expire: 3600 } });
      await new Promise((resolve) => setTimeout(resolve, 1100));
      const stale = await a.handler().get(key, PAGE);
      assert.ok(stale?.value);
      await a.handler().set(key, stale.value, { ...PAGE, cacheControl: { revalidate: 3, expire: 3600 } });
      for (const one of [a, b]) {
        const answer = await one.handler().get(key, PAGE);
        assert.deepStrictEqual(answer?.value, appPage("old"));
        isFresh(answer, 1);
      }
    });

    test("a revalidated tag: gone everywhere when the call returns", async () => {
      const [a, b] = [host(), host()];
      const [page, data] = [newKey(), newKey()];
      await a.handler().get(page, PAGE);
      await a.handler().set(page, appPage("1", `_N_T_/layout,t-${page}`), hour);
      await a.handler().get(data, { ...FETCH, tags: [`t-${page}`] });
      await a.handler().set(data, fetched("1", [`t-${page}`]), { fetchCache: true });
      assert.ok(await b.handler().get(page, PAGE));
      await b.handler().revalidateTag([`t-${page}`, `t-${page}`]);
      assert.equal(await a.handler().get(page, PAGE), null);
      assert.equal(await a.handler().get(data, FETCH), null);
    });

    test("a fetch is gone by the soft tags of its reader, but only for that reader", async () => {
      const one = host();
      const key = newKey();
      await one.handler().get(key, FETCH);
      await one.handler().set(key, fetched("1", []), { fetchCache: true });
      await one.handler().revalidateTag(`_N_T_${key}`);
      assert.ok(await one.handler().get(key, { ...FETCH, softTags: ["_N_T_/elsewhere"] }));
      assert.equal(await one.handler().get(key, { ...FETCH, softTags: [`_N_T_${key}`] }), null);
    });

    test("a tag revalidated with a duration makes stale, not gone", async () => {
      const [a, b] = [host(), host()];
      const [page, data] = [newKey(), newKey()];
      await a.handler().get(page, PAGE);
      await a.handler().set(page, appPage("1", `t-${page}`), hour);
      await a.handler().get(data, FETCH);
      await a.handler().set(data, fetched("1", [`t-${page}`], 3600), { fetchCache: true });
      await b.handler().revalidateTag([`t-${page}`], { expire: 3600 });
      const stale = await a.handler().get(page, PAGE);
      assert.ok(stale?.value);
      assert.ok(performance.timeOrigin + performance.now() - stale.lastModified > 1000, "the first is to regenerate");
      isFresh(await b.handler().get(page, PAGE), 1);
      for (const one of [a, b]) {
        const answer = await one.handler().get(data, FETCH);
        const age = performance.timeOrigin + performance.now() - (answer?.lastModified ?? 0);
        assert.ok(age > 3600_000, "a fetch is stale for everybody");
      }
    });

    test("a render that began before a revalidation is not served after it, however late its set", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      assert.equal(await a.handler().get(key, PAGE), null);
      await b.handler().revalidateTag(`t-${key}`);
      await a.handler().set(key, appPage("old", `t-${key}`), hour);
      assert.equal(await b.handler().get(key, PAGE), null);
      await b.handler().set(key, appPage("new", `t-${key}`), hour);
      assert.deepStrictEqual((await a.handler().get(key, PAGE))?.value, appPage("new", `t-${key}`));
    });

    test("builds do not share pages, but fetches", async () => {
      const [one, two] = [host({ buildId: "one" }), host({ buildId: "two" })];
      const key = newKey();
      await one.handler().get(key, PAGE);
      await one.handler().set(key, appPage("one"), hour);
      await one.handler().get(key, FETCH);
      await one.handler().set(key, fetched("data"), { fetchCache: true });
      assert.equal(await two.handler().get(key, PAGE), null);
      assert.deepStrictEqual((await two.handler().get(key, FETCH))?.value, fetched("data"));
    });

    test("apps share nothing", async () => {
      const [one, two] = [host({ app: `${app}-x` }), host({ app: `${app}-y` })];
      const key = newKey();
      await one.handler().get(key, FETCH);
      await one.handler().set(key, fetched("data"), { fetchCache: true });
      assert.equal(await two.handler().get(key, FETCH), null);
    });

    test("a body of 3 MB travels beside the stream, both ways", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      const value = route(Buffer.alloc(3_000_000, "0123456789"));
      await a.handler().get(key, PAGE);
      await a.handler().set(key, value, hour);
      const answer = await b.handler().get(key, PAGE);
      assert.ok(answer);
      assert.deepStrictEqual(answer.value, value);
    });

    test("an on-demand revalidation renders although another holds the lease, and its set wins", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      assert.equal(await a.handler().get(key, PAGE), null);
      const { ms } = await timed(() => b.handler({ "x-prerender-revalidate": PREVIEW_ID }).get(key, PAGE));
      assert.ok(ms < 1000, `waited ${ms} ms`);
      await b.handler({ "x-prerender-revalidate": PREVIEW_ID }).set(key, appPage("on demand"), hour);
      assert.deepStrictEqual((await a.handler().get(key, PAGE))?.value, appPage("on demand"));
    });

    test("a probe neither waits nor makes others wait", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      const probe = { ...PAGE, isRoutePPREnabled: true };
      assert.equal(await a.handler().get(key, probe), null);
      const { result, ms } = await timed(() => b.handler().get(key, PAGE));
      assert.equal(result, null);
      assert.ok(ms < 1000, `waited ${ms} ms`);
      assert.equal((await timed(() => a.handler().get(key, probe))).result, null);
    });

    test("a shell that is there and stale is made anew, by one of those who probe for it", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      const probe = { ...PAGE, isRoutePPREnabled: true };
      await a.handler().get(key, PAGE);
      await a.handler().set(key, appPage("old", `t-${key}`), hour);
      await a.handler().revalidateTag(`t-${key}`, { expire: 3600 });
      const ages: boolean[] = [];
      for (const [one, headers] of [[b, { purpose: "prefetch" }], [a], [b]] as const) {
        const answer = await one.handler(headers).get(key, probe);
        ages.push(performance.timeOrigin + performance.now() - (answer?.lastModified ?? Number.NaN) > 1000);
      }
      assert.deepEqual(ages, [false, true, false]);
      await a.handler().set(key, appPage("new"), hour);
      assert.deepStrictEqual((await b.handler().get(key, probe))?.value, appPage("new"));
    });

    test("events reach the other processes, and move their position on", async () => {
      const [a, b] = [host(), host()];
      await Promise.all([a, b].map((one) => one.handler().get(newKey(), PAGE)));
      const before = b.runtime.session.position?.seq ?? 0n;
      await a.handler().revalidateTag(`events-${before}`);
      await until("the event has arrived", () => (b.runtime.session.position?.seq ?? 0n) > before);
    });

    test("what is fresh is served from the process, and from no process once it was revalidated", async () => {
      const [a, b] = [host(), host()];
      for (let round = 0; round < 20; round++) {
        const key = newKey();
        await a.handler().get(key, PAGE);
        const written = appPage(`${round}`, `t-${key}`);
        await a.handler().set(key, written, hour);
        const first = await b.handler().get(key, PAGE);
        assert.deepStrictEqual(first?.value, written);
        const before = nearHits(b);
        await until("it is served without asking", async () => {
          const again = await b.handler().get(key, PAGE);
          assert.equal(again?.value, first?.value, "the very object");
          assert.deepEqual(again?.cacheControl, first?.cacheControl);
          return nearHits(b) > before;
        });
        await a.handler().revalidateTag(`t-${key}`);
        for (const one of [a, b])
          assert.equal(await one.handler().get(key, { ...PAGE, isRoutePPREnabled: true }), null);
      }
    });

    test("a fetch in the process is served to no reader whose soft tags were revalidated", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      const [x, y] = ["x", "y"].map((route) => ({ ...FETCH, softTags: [`_N_T_${key}/${route}`] }));
      await a.handler().get(key, FETCH);
      await a.handler().set(key, fetched("1", []), { fetchCache: true });
      for (let i = 0; i < 3; i++) for (const reader of [x, y]) assert.ok(await b.handler().get(key, reader));
      await a.handler().revalidateTag(`_N_T_${key}/x`);
      assert.equal(await b.handler().get(key, x), null);
      assert.ok(await b.handler().get(key, y));
    });

    test("a render on demand ends what other processes hold of a page without tags", async () => {
      const [a, b] = [host(), host()];
      const key = newKey();
      await a.handler().get(key, PAGE);
      await a.handler().set(key, pagesPage("old"), hour);
      for (let i = 0; i < 2; i++) assert.ok(await b.handler().get(key, PAGE));
      await a.handler({ "x-prerender-revalidate": PREVIEW_ID }).get(key, PAGE);
      await a.handler({ "x-prerender-revalidate": PREVIEW_ID }).set(key, pagesPage("new"), hour);
      await until("the event has arrived", async () => {
        const answer = await b.handler().get(key, PAGE);
        return answer?.value?.kind === "PAGES" && answer.value.html === "new";
      });
    });

    test("a connection that broke goes on: what was held is good again, what was revalidated meanwhile is gone", async () => {
      const { dial, cut } = breakable(daemon.dial);
      const [a, b] = [host(), host({ dial })];
      const [kept, gone] = [newKey(), newKey()];
      for (const key of [kept, gone]) {
        await a.handler().get(key, PAGE);
        await a.handler().set(key, appPage("1", `t-${key}`), hour);
      }
      const value = (await b.handler().get(kept, PAGE))?.value;
      assert.ok(value && (await b.handler().get(gone, PAGE)));
      cut();
      await a.handler().revalidateTag(`t-${gone}`);
      assert.equal(await b.handler().get(gone, { ...PAGE, isRoutePPREnabled: true }), null);
      const before = nearHits(b);
      await until("it is served without asking", async () => {
        assert.equal((await b.handler().get(kept, PAGE))?.value, value, "the very object");
        return nearHits(b) > before;
      });
      assert.equal(b.runtime.client.counters.unavailable, 0);
    });
  });
}
