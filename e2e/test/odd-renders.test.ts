// Renders that fail, and responses that are not simply a page for some time.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ask, markerOf, oneRenderOf } from "../harness/ask.ts";
import { cacheControlOf, PAGE_CACHE_CONTROL } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";
import type { Reply } from "../harness/http.ts";
import { since } from "../harness/next.ts";
import type { Replica } from "../harness/replica.ts";
import { eventually, within } from "../harness/wait.ts";

const TIMEOUT_MS = 10_000;

/** The `revalidate` of the app's pages below /short. */
const SHORT_MS = 4000;

/** When Next.js tries again what has failed, at the earliest. */
const RETRY_MS = 3000;

/** How long who fetches waits for another that does. */
const FETCH_WAIT_LIMIT_MS = 1000;

const GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

describe("odd renders: two replicas on one daemon, embedded store", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ topology: "embedded" });
  });
  after(() => fleet?.stop());

  test("a regeneration that fails leaves the old page, as old as it is, and is tried again after seconds", async () => {
    const page = "/short/1k-fails";
    const old = markerOf(await fleet.a.request(page));
    markerOf(await fleet.b.request(page));
    await delay(SHORT_MS + 100); // its lifetime: it must pass
    const latch = fleet.origin.hold(`/renders${page}`);
    assert.deepEqual(markerOf(await fleet.a.request(page)), old);
    await within(latch.arrived(1), TIMEOUT_MS, "A regenerates");
    latch.fail();
    const failed = performance.now();
    while (performance.now() - failed < RETRY_MS - 1000) {
      for (const reply of await Promise.all(ask(fleet.replicas, page))) {
        assert.deepEqual(markerOf(reply), old, "the old page");
        const seconds = Number(/^s-maxage=(\d+)/.exec(reply.cacheControl ?? "")?.[1]);
        assert.ok(seconds <= SHORT_MS / 1000, `no cache in front keeps it for long: ${reply.cacheControl}`);
      }
      assert.equal(fleet.origin.renders(page), 2, "nobody tries again at once");
      await delay(100);
    }
    await eventually("all have a new page", TIMEOUT_MS, async () => {
      assert.notEqual(oneRenderOf(await Promise.all(ask(fleet.replicas, page))).render, old.render);
    });
  });

  test("a render that fails with nothing to serve is a 500, is not kept, and is tried again with the next request", async () => {
    for (const page of ["/a/1k-throws", "/p/1k-throws", "/r/1k-throws"]) {
      const latch = fleet.origin.hold(`/renders${page}`);
      const first = fleet.a.request(page);
      await within(latch.arrived(1), TIMEOUT_MS, "A renders");
      latch.fail();
      assert.equal((await first).status, 500, page);
      const [b, a] = [await fleet.b.request(page), await fleet.a.request(page)];
      assert.deepEqual(markerOf(b), markerOf(a), page);
      assert.equal(fleet.origin.renders(page), 2, page);
    }
  });

  test("fallback: true: the fallback is served at once, the page is rendered once for its data, and is a HIT then", async () => {
    const page = "/p-true/1k-x";
    for (const replica of fleet.replicas) {
      const shell = await replica.request(page);
      assert.equal(shell.status, 200);
      assert.match(shell.text, /<p>fallback<\/p>/);
      assert.ok(shell.ms < TIMEOUT_MS, "nobody waits for a render that has not begun");
    }
    assert.equal(fleet.origin.renders(page), 0);
    const data = await fleet.a.requestData(page);
    const html = await fleet.b.request(page);
    assert.deepEqual(html.marker, data.marker);
    assert.equal(html.cache, "HIT");
    assert.equal(fleet.origin.renders(page), 1);
  });

  test("a link's prefetch of a stale page renews it, where Next.js does so", {
    skip: since("next16") && "since 16 a prefetch of a stale page does not regenerate it",
  }, async () => {
    const page = "/short/1k-prefetched";
    const old = markerOf(await fleet.a.request(page));
    assert.deepEqual(markerOf(await fleet.b.request(page)), old);
    await delay(SHORT_MS + 100); // its lifetime: it must pass
    const headers = { rsc: "1", "next-router-prefetch": "1" };
    assert.equal((await fleet.b.request(page, { headers })).status, 200);
    await eventually("it is rendered anew", TIMEOUT_MS, () => assert.equal(fleet.origin.renders(page) > 1, true));
    await eventually("A has the new", TIMEOUT_MS, async () => {
      assert.notEqual(markerOf(await fleet.a.request(page)).render, old.render);
    });
  });

  test("data that the origin refuses is asked for again at once: nobody waits for what was not written", async () => {
    const latch = fleet.origin.hold("/data/refused");
    const refused = fleet.a.request("/data/refused");
    await within(latch.arrived(1), TIMEOUT_MS, "the origin is asked");
    latch.fail();
    assert.equal((await refused).status, 200);
    const startedAt = performance.now();
    assert.equal((await fleet.b.request("/data/refused")).status, 200);
    assert.ok(performance.now() - startedAt < FETCH_WAIT_LIMIT_MS, "it has not waited");
    assert.equal(fleet.origin.calls("/data/refused"), 2);
  });

  test("revalidate: 0 is rendered with every request, and nobody waits for another", async () => {
    const page = "/dynamic/1k-x";
    const latch = fleet.origin.hold(`/renders${page}`);
    const replies = ask(fleet.replicas, page, 3);
    await within(latch.arrived(6), TIMEOUT_MS, "all render at the same time");
    latch.release();
    const markers = (await Promise.all(replies)).map(markerOf);
    assert.equal(new Set(markers.map(({ render }) => render)).size, 6);
  });

  for (const [kind, page] of [
    ["App", "/never/1k-x"],
    ["Pages", "/p-never/1k-x"],
  ] as const) {
    test(`revalidate: false of the ${kind} Router is kept for ever`, async () => {
      const first = await fleet.a.request(page);
      const second = await fleet.b.request(page);
      assert.deepEqual(markerOf(second), markerOf(first));
      assert.equal(second.cache, "HIT");
      for (const reply of [first, second]) assert.equal(reply.cacheControl, cacheControlOf(31_536_000));
    });
  }

  for (const [kind, page] of [
    ["App", "/a/1k-draft"],
    ["Pages", "/p/1k-draft"],
  ] as const) {
    test(`draft mode renders a page of the ${kind} Router for who is in it, and leaves everybody else's alone`, async () => {
      const cached = markerOf(await fleet.a.request(page));
      const headers = { cookie: await draftCookie(fleet.a) };
      for (const replica of fleet.replicas) {
        const [one, other] = [
          markerOf(await replica.request(page, { headers })),
          markerOf(await replica.request(page, { headers })),
        ];
        assert.equal(new Set([cached.render, one.render, other.render]).size, 3, "rendered with every request");
        const reply = await replica.request(page);
        assert.deepEqual(markerOf(reply), cached);
        assert.equal(reply.cache, "HIT");
      }
    });
  }

  for (const page of ["/a/1k-head", "/p/1k-head", "/r/1k-head"]) {
    test(`HEAD ${page} renders what nobody has, and a GET elsewhere is a HIT`, async () => {
      const head = await fleet.a.request(page, { method: "HEAD" });
      assert.deepEqual([head.status, head.body.length], [200, 0]);
      const get = await fleet.b.request(page);
      assert.equal(get.cache, "HIT");
      assert.equal(fleet.origin.renders(page), 1);
      assert.equal((await fleet.b.request(page, { method: "HEAD" })).cache, "HIT");
    });
  }

  test("a bot's request is like any other", async () => {
    const first = await fleet.a.request("/a/1k-bot", { headers: { "user-agent": GOOGLEBOT } });
    assert.equal(first.cacheControl, PAGE_CACHE_CONTROL);
    const second = await fleet.b.request("/a/1k-bot");
    assert.deepEqual(markerOf(second), markerOf(first));
    assert.equal(second.cache, "HIT");
  });
});

/** The cookie of who is in draft mode: the same at all replicas of a build. */
async function draftCookie(replica: Replica): Promise<string> {
  const reply: Reply = await replica.request("/api/draft");
  const cookie = reply.headers["set-cookie"]?.map((line) => line.split(";", 1)[0]).join("; ");
  assert.match(cookie ?? "", /__prerender_bypass=/);
  return cookie ?? "";
}
