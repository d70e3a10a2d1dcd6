// --from-daemon, against a real one.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { parseAddress } from "../../src/address.js";
import { GetRequestSchema, GetResponseSchema, SetRequestSchema } from "../../src/gen/isrd/v1/cache_pb.js";
import { Kind, Space } from "../../src/gen/isrd/v1/entry_pb.js";
import { dialGrpc } from "../../src/grpc-transport.js";
import { type RealDaemon, startRealDaemon } from "../support/real-daemon.js";
import { isrd, project, refusalsOf, summaryOf } from "./support.js";

const SCOPE = `/route-cache/APP_PAGE/${createHash("sha256").update("/blog/[slug]/page").digest("hex")}/$`;

type Some = { kind?: Kind; status?: number; lifetime?: { revalidateSeconds?: number; expireSeconds?: number } };

describe("--from-daemon", () => {
  let daemon: RealDaemon;
  before(async () => {
    daemon = await startRealDaemon();
    const lifetime = { revalidateSeconds: 77, expireSeconds: 777 };
    await fill("shop", {
      [`${SCOPE}/blog/new-1`]: { lifetime },
      [`${SCOPE}/blog/new 2`]: { lifetime: {} },
      "/blog/new%2F3": { lifetime: { revalidateSeconds: 60 } },
      "/pb/neu%": { kind: Kind.PAGES, lifetime },
      "/docs": { lifetime },
      "/pt/[slug]": { kind: Kind.PAGES, lifetime },
      "/blog/gone": { status: 404, lifetime },
      "/pb/lost": { kind: Kind.NOT_FOUND, lifetime },
      "/blog/one": { lifetime },
      "/index": { lifetime },
    });
    await fill("other", { "/blog/not-mine": { lifetime } });
  });
  after(() => daemon.stop());

  async function fill(app: string, entries: Record<string, Some>): Promise<void> {
    const abort = AbortSignal.timeout(10_000);
    const transport = await dialGrpc(parseAddress(daemon.address), { token: undefined, signal: abort });
    transport.hold(true);
    for (const [name, { kind = Kind.APP_PAGE, ...more }] of Object.entries(entries)) {
      const key = { app, build: { buildId: "earlier" }, space: Space.ROUTE, name };
      const get = toBinary(GetRequestSchema, create(GetRequestSchema, { key, noLease: true }));
      const { base } = fromBinary(GetResponseSchema, await transport.unary("get", Buffer.from(get), 5000));
      const entry = { kind, parts: [{ name: "html", data: Buffer.from("x") }], ...more };
      const write = create(SetRequestSchema, { key, entry, durable: true, ...(base ? { base } : {}) });
      await transport.unary("set", Buffer.from(toBinary(SetRequestSchema, write)), 5000);
    }
    transport.close();
  }

  test("the pages of an earlier build get the lifetimes that they have", async (t) => {
    const app = project(t, "next16");
    const env = { ISRD_ADDRESS: daemon.address, ISRD_APP: "shop" };
    const args = ["inject-routes", "--from-daemon", "--revalidate", "5", "--route", "/pb/[slug]=9", "--output", "json"];
    const outcome = await isrd(args, { cwd: app.folder, env });
    assert.equal(outcome.code, 0, outcome.err);
    assert.deepEqual([summaryOf(outcome).added, summaryOf(outcome).prerendered], [5, 1]);
    assert.deepEqual(refusalsOf(outcome)["no-route"]?.sort(), ["/", "/pt/[slug]"]);
    const { routes } = app.manifest();
    const of = (name: string) => [routes[name]?.initialRevalidateSeconds, routes[name]?.initialExpireSeconds];
    assert.deepEqual(of("/blog/new-1"), [77, 777]);
    assert.deepEqual(of("/blog/new 2"), [false, undefined]);
    assert.deepEqual(of("/blog/new%2F3"), [60, 31_536_000]);
    assert.deepEqual(of("/pb/neu%"), [9, 31_536_000]);
    assert.deepEqual(of("/docs"), [77, 777]);
  });

  test("an app without pages is an error that says so", async (t) => {
    const env = { ISRD_ADDRESS: daemon.address, ISRD_APP: "nobody" };
    const outcome = await isrd(["inject-routes", "--from-daemon"], { cwd: project(t, "next16").folder, env });
    assert.deepEqual([outcome.code, outcome.err], [1, "isrd: the sources have no URL: nothing was done"]);
  });

  test("a daemon that is not there is one clear error", async (t) => {
    const env = { ISRD_ADDRESS: "unix:///nowhere/isrd.sock", ISRD_APP: "shop" };
    const outcome = await isrd(["inject-routes", "--from-daemon"], { cwd: project(t, "next16").folder, env });
    assert.equal(outcome.code, 1);
    assert.match(
      outcome.err,
      /^isrd: --from-daemon: there is no socket at unix:\/\/\/nowhere\/isrd.sock .*ISRD_ADDRESS/,
    );
  });

  test("a daemon that refuses is quoted", async (t) => {
    const strict = await startRealDaemon({ args: ["--app", "other"] });
    t.after(() => strict.stop());
    const env = { ISRD_ADDRESS: strict.address, ISRD_APP: "shop" };
    const outcome = await isrd(["inject-routes", "--from-daemon"], { cwd: project(t, "next16").folder, env });
    assert.match(outcome.err, /--from-daemon: app "shop" is not in this daemon's --app list/);
  });
});
