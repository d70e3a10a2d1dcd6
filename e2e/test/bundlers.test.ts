// Builds by the bundler that is not the version's own: Turbopack in 15, webpack in 16. Not in `make test`, as each takes a
// `next build`.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { markerOf } from "../harness/ask.ts";
import { type AppName, build, copySources } from "../harness/build.ts";
import { PAGE_CACHE_CONTROL } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";
import { OTHER_BUNDLER, VERSION } from "../harness/next.ts";
import { OUT } from "../harness/paths.ts";
import { makeFolder, removeFolder, temporaryFolder } from "../harness/reap.ts";
import type { Replica } from "../harness/replica.ts";

const none = OTHER_BUNDLER ? false : `${VERSION} has one bundler for builds`;

describe("the bundler that is not the version's own", { skip: none }, () => {
  const folder = path.join(OUT, "replicas", `${process.pid}-bundlers`);
  const sockets = temporaryFolder();
  const socket = path.join(sockets, "isrd.sock");
  let fleet: Fleet;
  let connections = 0;
  /** What a build would wait for if it asked: it takes connections and never answers. */
  const deaf = net.createServer(() => {
    connections += 1;
  });
  before(async () => {
    fleet = await Fleet.start({ topology: "embedded", replicas: 0 });
    deaf.listen(socket);
    await once(deaf, "listening");
  });
  after(async () => {
    deaf.close();
    await fleet?.stop();
    removeFolder(folder);
    removeFolder(sockets);
  });

  async function replicasOf(app: AppName): Promise<readonly [Replica, Replica]> {
    const start = (name: string) => fleet.another({ name, app, bundler: OTHER_BUNDLER, env: { ISRD_APP: app } });
    return [await start(`${app}-a`), await start(`${app}-b`)];
  }

  test("next build succeeds, asks nobody, and says nothing of isrd", async () => {
    await makeFolder(folder);
    await copySources("plain", folder);
    const env = { ISRD_ADDRESS: `unix://${socket}`, ORIGIN_URL: fleet.origin.url };
    const output = await build({ folder, name: "build-bundlers", env, args: [`--${OTHER_BUNDLER}`] });
    assert.match(output.toLowerCase(), new RegExp(`next\\.js .*\\(.*${OTHER_BUNDLER}`));
    const said = output.split("\n").filter((line) => /isrd|warn|error|cache.?handler/i.test(line));
    assert.deepEqual(
      said.filter((line) => !line.startsWith("# pid")),
      [],
    );
    assert.equal(connections, 0);
  });

  test("what A has rendered, B serves, beside a route on the edge runtime", async () => {
    const [a, b] = await replicasOf("edge");
    for (const replica of [a, b]) assert.equal((await replica.request("/edge")).text, "from the edge");
    const [first, second] = [await a.request("/a/1k-x"), await b.request("/a/1k-x")];
    assert.deepEqual(markerOf(second), markerOf(first));
    assert.equal(second.cache, "HIT");
    assert.equal(second.cacheControl, PAGE_CACHE_CONTROL);
  });

  test("what A has called of 'use cache', B returns without a call", async () => {
    const [a, b] = await replicasOf("cached");
    for (const kind of ["hour", "remote"]) {
      const old = markerOf(await a.request(`/call/${kind}/x`));
      assert.deepEqual(markerOf(await b.request(`/call/${kind}/x`)), old);
      assert.equal(fleet.origin.renders(`/${kind}/x`), 1);
    }
  });
});
