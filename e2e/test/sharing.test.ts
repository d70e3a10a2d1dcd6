// What one replica has rendered, the others serve.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PAGE_CACHE_CONTROL, ROUTE_CACHE_CONTROL, SKIP_APP_REDIRECT } from "../harness/expect.ts";
import { Fleet, TOPOLOGIES } from "../harness/fleet.ts";
import type { Reply } from "../harness/http.ts";
import type { Replica } from "../harness/replica.ts";

for (const { topology, title } of TOPOLOGIES) {
  describe(`sharing: ${title}`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ topology });
      await fleet.reached();
    });
    after(() => fleet?.stop());

    /** Reads a page at A for the first time, and the same by `read` at B. */
    async function share(
      page: string,
      read: (replica: Replica) => Promise<Reply>,
    ): Promise<{ first: Reply; second: Reply }> {
      const first = await fleet.a.request(page);
      assert.equal(fleet.origin.renders(page), 1, "A rendered it");
      const second = await read(fleet.b);
      assert.equal(fleet.origin.renders(page), 1, "B did not render it");
      return { first, second };
    }

    for (const [kind, page] of [
      ["App Router", "/a/html"],
      ["Pages Router", "/p/html"],
    ] as const) {
      test(`a page of the ${kind} that A rendered is served by B, byte by byte`, async () => {
        const { first, second } = await share(page, (b) => b.request(page));
        assert.equal(first.status, 200);
        assert.equal(first.cache, "MISS");
        assert.equal(second.status, 200);
        assert.equal(second.cache, "HIT");
        assert.ok(first.body.length > 100_000, "the page is large enough to mean something");
        assert.deepEqual(second.marker, first.marker);
        assert.ok(second.body.equals(first.body), "the same bytes");
        assert.equal(second.headers.etag, first.headers.etag);
        assert.deepEqual([first.cacheControl, second.cacheControl], [PAGE_CACHE_CONTROL, PAGE_CACHE_CONTROL]);
      });
    }

    test("a page that A rendered as HTML is served by B as React Server Components", async () => {
      const { first, second } = await share("/a/rsc", (b) => b.requestRsc("/a/rsc"));
      assert.equal(second.status, 200);
      assert.match(String(second.headers["content-type"]), /^text\/x-component/);
      assert.equal(second.cache, "HIT");
      assert.deepEqual(second.marker, first.marker);
      assert.equal(second.cacheControl, PAGE_CACHE_CONTROL);
      const own = await fleet.a.requestRsc("/a/rsc");
      assert.ok(second.body.equals(own.body), "the same bytes as from A");
    });

    test("a page that A rendered as HTML is served by B as _next/data", async () => {
      const { first, second } = await share("/p/data", (b) => b.requestData("/p/data"));
      assert.equal(second.status, 200);
      assert.match(String(second.headers["content-type"]), /^application\/json/);
      assert.equal(second.cache, "HIT");
      assert.deepEqual(second.marker, first.marker);
      assert.equal(second.cacheControl, PAGE_CACHE_CONTROL);
    });

    test("a route handler's response that A made is served by B with all its headers", async () => {
      const { first, second } = await share("/r/handler", (b) => b.request("/r/handler"));
      assert.equal(second.status, 200);
      assert.equal(second.cache, "HIT");
      assert.ok(second.body.equals(first.body), "the same bytes");
      for (const header of ["content-type", "x-render", "set-cookie", "cache-control"]) {
        assert.deepEqual(second.headers[header], first.headers[header], header);
      }
      assert.deepEqual(second.headers["set-cookie"], ["first=1; Path=/", "second=2; Path=/"]);
      assert.equal(second.cacheControl, ROUTE_CACHE_CONTROL);
    });

    test("data that A fetched is read from the cache by B, by fetch and by unstable_cache", async () => {
      const [first, second] = [await fleet.a.request("/data/fetched"), await fleet.b.request("/data/fetched")];
      assert.equal(first.status, 200);
      assert.deepEqual(JSON.parse(second.text), JSON.parse(first.text));
      assert.equal(fleet.origin.calls("/data/fetched"), 1, "fetch asked the origin once");
      assert.equal(fleet.origin.renders("/cached/fetched"), 1, "unstable_cache asked the origin once");
    });

    for (const [kind, page] of [
      ["App Router", "/a/missing-1"],
      ["Pages Router", "/p/missing-1"],
    ] as const) {
      test(`notFound of the ${kind} that A rendered is a 404 at B, without a render`, async () => {
        const { first, second } = await share(page, (b) => b.request(page));
        assert.equal(first.status, 404);
        assert.equal(second.status, 404);
        assert.equal(second.cacheControl, PAGE_CACHE_CONTROL);
      });
    }

    for (const [kind, page, target] of [
      ["App Router", "/a/moved-1", "/a/target"],
      ["Pages Router", "/p/moved-1", "/p/target"],
    ] as const) {
      const skip = kind === "App Router" && SKIP_APP_REDIRECT;
      test(`a redirect of the ${kind} that A rendered leads to the same place at B, without a render`, {
        skip,
      }, async () => {
        const { first, second } = await share(page, (b) => b.request(page));
        for (const reply of [first, second]) {
          assert.equal(reply.status, 307);
          assert.equal(reply.headers.location, target);
          assert.equal(reply.cacheControl, PAGE_CACHE_CONTROL);
        }
        assert.equal(second.cache, "HIT");
      });
    }

    test("a page that B asks for first as React Server Components is a page of HTML at A", async () => {
      const rsc = await fleet.b.requestRsc("/a/backwards");
      const html = await fleet.a.request("/a/backwards");
      assert.equal(fleet.origin.renders("/a/backwards"), 1);
      assert.equal(html.cache, "HIT");
      assert.deepEqual(html.marker, rsc.marker);
    });
  });
}
