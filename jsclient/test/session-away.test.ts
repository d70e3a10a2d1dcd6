import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Batch, Outbox } from "../src/outbox.js";
import type { FakeDaemon } from "./support/fake-daemon.js";
import { ABSENT, hour, PAGE, ready, scene } from "./support/scene.js";
import { atOnce, timed, until } from "./support/until.js";
import { appPage, fetched } from "./support/values.js";

describe("a daemon that is away", () => {
  test("absent: misses at once, one line in the log, and one more when it is back", async (t) => {
    const { host, peer, daemon } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    await atOnce(50, async (i) => assert.equal(await host.handler().get(`/${i}`, PAGE), null));
    assert.equal(host.runtime.session.state, "away");
    assert.equal(host.log.lines.length, 1);
    assert.match(host.log.lines[0] ?? "", /^warn unavailable: nobody listens;/);
    peer.refuse = undefined;
    await until("it is found again", () => host.runtime.session.state === "ready");
    assert.equal(host.log.lines.length, 2);
    assert.equal(host.log.lines[1], "info connected to unix:/nowhere.sock");
    assert.equal(daemon.connections, 1);
  });

  test("the attempts become fewer, and never stop", async (t) => {
    const { host, peer } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    await host.handler().get("/a", PAGE);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(peer.dials >= 3 && peer.dials < 40, `${peer.dials} attempts in 1.5 s`);
    const before = peer.dials;
    await until("it tries again", () => peer.dials > before);
  });

  test("its own entries are kept meanwhile, judged by its own revalidations, and dropped when it is back", async (t) => {
    const { host, peer, daemon } = await ready(t);
    peer.refuse = ABSENT;
    daemon.disconnectAll();
    await until("it is known to be away", () => host.runtime.session.state === "away");

    assert.equal(await host.handler().get("/page", PAGE), null, "what was set before is the daemon's alone");
    const page = appPage("mine", "tag");
    await host.handler().set("/page", page, hour);
    const kept = await host.handler().get("/page", PAGE);
    assert.equal(kept?.value, page, "the very value");
    assert.deepEqual(kept?.cacheControl, { revalidate: 3600, expire: 7200 });

    await host.handler().revalidateTag("tag");
    assert.equal(await host.handler().get("/page", PAGE), null);
    await host.handler().set("/page", appPage("newer", "tag"), hour);
    assert.deepEqual((await host.handler().get("/page", PAGE))?.value, appPage("newer", "tag"));

    peer.refuse = undefined;
    await until("it is back", () => host.runtime.session.state === "ready");
    assert.notDeepEqual((await host.handler().get("/page", PAGE))?.value, appPage("newer", "tag"));
    peer.refuse = ABSENT;
    daemon.disconnectAll();
    await until("it is away again", () => host.runtime.session.state === "away");
    assert.equal(await host.handler().get("/page", PAGE), null, "nothing of the first time is left");
  });

  test("a render that began before a revalidation is not kept as new", async (t) => {
    const { host } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    const renderer = host.handler();
    assert.equal(await renderer.get("/page", PAGE), null);
    await host.handler().revalidateTag("tag");
    await renderer.set("/page", appPage("old", "tag"), hour);
    assert.equal(await host.handler().get("/page", PAGE), null);
  });

  test("an old fetch that is kept stays stale; an old page is given to be regenerated", async (t) => {
    const { host } = scene(t, {}, (_daemon, p) => {
      p.refuse = ABSENT;
    });
    await host.handler().get("/f", { kind: "FETCH" });
    await host.handler().set("/f", fetched("x", ["t"], 3600), { fetchCache: true });
    await host.handler().set("/p", appPage("x", "t"), hour);
    await host.handler().revalidateTag("t", { expire: 60 });
    const now = performance.timeOrigin + performance.now();
    const data = await host.handler().get("/f", { kind: "FETCH" });
    assert.ok(data && now - data.lastModified > 3600_000);
    const page = await host.handler().get("/p", PAGE);
    assert.ok(page && now - page.lastModified > 1000);
    assert.equal(page.cacheControl?.revalidate, 1);
  });

  test("revalidations are sent before anything is read again, and reads wait for their acknowledgement", async (t) => {
    const { host, peer, daemon } = await ready(t);
    peer.refuse = ABSENT;
    daemon.disconnectAll();
    await until("it is known to be away", () => host.runtime.session.state === "away");
    const { ms } = await timed(() => host.handler().revalidateTag(["a", "b", "a"]));
    assert.ok(ms < 1000, `took ${ms} ms; its deadline is 5 s`);
    await host.handler().revalidateTag("a", { expire: 5 });
    assert.equal(host.runtime.session.undelivered, 2);

    let acknowledge: (() => void) | undefined;
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "revalidate") return false;
      acknowledge = () => answer({ case: "revalidate", value: { fleetWide: true } });
      return true;
    };
    daemon.received.length = 0;
    peer.refuse = undefined;
    await until("the revalidations arrive", () => acknowledge !== undefined);
    assert.equal(await host.handler().get("/page", PAGE), null);
    assert.deepEqual(
      daemon.received.map(({ frame }) => frame.case).filter((kind) => kind !== "ping"),
      ["hello", "revalidate"],
    );
    assert.deepEqual(
      daemon.frames("revalidate")[0]?.revalidations.map(({ tag, expireSeconds }) => [tag, expireSeconds]),
      [
        ["a", undefined],
        ["b", undefined],
      ],
    );
    acknowledge?.();
    await until("it is back", () => host.runtime.session.state === "ready");
    assert.equal(host.runtime.session.undelivered, 0);
    assert.ok(await host.handler().get("/page", PAGE));
  });

  test("a revalidation whose acknowledgement is lost is sent again", async (t) => {
    const { host, daemon } = await ready(t, { ISRD_REVALIDATE_TIMEOUT_MS: "80" });
    let swallow = true;
    daemon.intercept = ({ frame }) => frame.case === "revalidate" && swallow;
    const { ms } = await timed(() => host.handler().revalidateTag("a"));
    assert.ok(ms >= 75 && ms < 2000, `took ${ms} ms`);
    assert.equal(host.runtime.session.undelivered, 1);
    swallow = false;
    await until("it is delivered", () => host.runtime.session.undelivered === 0);
  });

  test("a revalidation in whatever turn before the session is ready is delivered as well", async (t) => {
    const settle = Outbox.prototype.settle;
    for (let turns = 0; turns < 16; turns++) {
      const { host, peer } = scene(t, {}, (_daemon, p) => {
        p.refuse = ABSENT;
      });
      await host.handler().revalidateTag("first");
      let second: Promise<void> | undefined;
      const settled = t.mock.method(Outbox.prototype, "settle", function (this: Outbox, batch: Batch) {
        settled.mock.restore();
        settle.call(this, batch);
        let left = turns;
        const turn = (): void => {
          if (left-- > 0) queueMicrotask(turn);
          else second = host.handler().revalidateTag("second");
        };
        turn();
      });
      peer.refuse = undefined;
      await until("the session is ready", () => second !== undefined && host.runtime.session.state === "ready");
      await second;
      assert.equal(host.runtime.session.undelivered, 0, `made ${turns} turns after the outbox was emptied`);
      host.close();
    }
  });

  test("a tag that the daemon refuses does not keep the others back", async (t) => {
    const { host, daemon } = await ready(t);
    daemon.intercept = ({ frame }, answer) => {
      if (frame.case !== "revalidate" || frame.value.revalidations.every(({ tag }) => tag !== "bad")) return false;
      answer({ case: "refusal", value: { code: 3, message: "tag: bad" } });
      return true;
    };
    await host.handler().revalidateTag(["good", "bad", "fine"]);
    assert.equal(host.runtime.session.undelivered, 0);
    const sent = daemon.frames("revalidate").map(({ revalidations }) => revalidations.map(({ tag }) => tag).join());
    assert.deepEqual(sent, ["good,bad,fine", "good", "bad", "fine"]);
    assert.match(host.log.lines.join("\n"), /refuses to revalidate a tag: tag: bad/);
  });
});

describe("a revalidation that the daemon cannot pass on", () => {
  const tags = (daemon: FakeDaemon): string[][] =>
    daemon.frames("revalidate").map(({ revalidations }) => revalidations.map(({ tag }) => tag));

  test("returns at the first answer, and is sent again until it holds in the fleet", async (t) => {
    const { daemon, host } = await ready(t);
    daemon.storeAway = true;
    const { ms } = await timed(() => host.handler().revalidateTag("products"));
    assert.ok(ms < 500, `returned after ${ms} ms`);
    assert.equal(host.runtime.session.undelivered, 1);
    await until("it is sent again", () => tags(daemon).length >= 2);
    daemon.storeAway = false;
    await until("it holds", () => host.runtime.session.undelivered === 0);
    assert.deepEqual([...new Set(tags(daemon).flat())], ["products"]);
  });

  test("is sent to the next daemon before anything is read there", async (t) => {
    const { daemon, host } = await ready(t);
    daemon.storeAway = true;
    await host.handler().revalidateTag("products");
    const before = tags(daemon).length;
    daemon.disconnectAll();
    await until("the end is known", () => host.runtime.session.state !== "ready");
    await host.handler().get("/page", PAGE);
    assert.ok(tags(daemon).length > before, "the new session began with it");
    assert.equal(host.runtime.session.state, "ready", "that it does not hold in the fleet keeps nobody waiting");
    assert.equal(host.runtime.session.undelivered, 1);
  });
});
