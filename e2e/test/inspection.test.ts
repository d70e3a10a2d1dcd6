// An operator can look inside with nothing but grpcurl.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PAGE_LIFETIME, pageName } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";
import { grpcurl } from "../harness/grpcurl.ts";

describe("grpcurl on the daemon's socket", () => {
  let fleet: Fleet;
  let socket: string;
  before(async () => {
    fleet = await Fleet.start({ topology: "embedded" });
    socket = fleet.daemonOf(fleet.a).address.replace("unix://", "");
  });
  after(() => fleet?.stop());

  test("lists the services by reflection", async () => {
    const services = (await grpcurl(socket, [], "list")).trim().split("\n");
    for (const service of ["isrd.v1.CacheService", "grpc.health.v1.Health"]) {
      assert.ok(services.includes(service), `${service} is among ${services}`);
    }
    const methods = (await grpcurl(socket, [], "list", "isrd.v1.CacheService")).trim().split("\n").sort();
    const names = ["Get", "Release", "Revalidate", "Session", "Set"];
    assert.deepEqual(
      methods,
      names.map((name) => `isrd.v1.CacheService.${name}`),
    );
  });

  test("health says SERVING, for the whole and for the cache", async () => {
    for (const service of ["", "isrd.v1.CacheService"]) {
      const options = ["-d", JSON.stringify({ service })];
      assert.deepEqual(JSON.parse(await grpcurl(socket, options, "grpc.health.v1.Health/Check")), {
        status: "SERVING",
      });
    }
  });

  async function get(path: string) {
    const build = { buildId: await fleet.a.buildId() };
    const key = { app: "plain", build, space: "SPACE_ROUTE", name: pageName(path) };
    return JSON.parse(
      await grpcurl(socket, ["-d", JSON.stringify({ key, noLease: true })], "isrd.v1.CacheService/Get"),
    );
  }

  test("gets an entry that a replica has rendered", async () => {
    const page = await fleet.a.request("/a/inspected");
    const { status, entry } = await get("/a/inspected");
    assert.equal(status, "STATUS_HIT");
    assert.equal(entry.kind, "KIND_APP_PAGE");
    const html = entry.parts.find((part: { name: string }) => part.name === "html");
    assert.equal(Buffer.from(html.data, "base64").toString(), page.text);
    assert.ok(entry.tags.includes("data:inspected"), String(entry.tags));
    assert.deepEqual(entry.lifetime, PAGE_LIFETIME);
  });

  test("gets a MISS for a page that nobody has rendered, and takes no lease for it", async () => {
    const { status, reason, lease } = await get("/a/never");
    assert.deepEqual([status, reason, lease], ["STATUS_MISS", "REASON_ABSENT", undefined]);
    assert.equal((await fleet.a.request("/a/never")).cache, "MISS");
    assert.equal((await fleet.b.request("/a/never")).cache, "HIT");
  });
});
