// What all other tests wait with: a machine that stands still for a while fails none of them.
import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HttpClient } from "../harness/http.ts";
import { eventually, within } from "../harness/wait.ts";

const STILL_MS = 1500;

/** Nothing of this process goes on meanwhile, as when its machine stands still. */
function standStill(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STILL_MS);
}

describe("waiting, in a process that stood still for longer than the bound", () => {
  test("what needs less time than that is not late", async () => {
    const done = delay(900).then(() => delay(10, "done"));
    const got = within(done, 1000, "something");
    standStill();
    assert.equal(await got, "done");
  });

  test("an old answer is not the last word", async () => {
    let probes = 0;
    await eventually("the second probe", 1000, async () => {
      probes += 1;
      if (probes > 1) return;
      await delay(1).then(standStill);
      throw new Error("as it was before");
    });
    assert.equal(probes, 2);
  });

  test("what does not come at all is late", async () => {
    await assert.rejects(within(new Promise(() => {}), 100, "nothing"), /not within 100 ms: nothing/);
    const never = eventually("anything", 100, () => Promise.reject(new Error("never")));
    await assert.rejects(never, /not within 100 ms: anything: never/);
  });
});

describe("a server that closes a connection while nothing is asked", () => {
  const server = http.createServer((_, response) => response.end("ok"));
  let client: HttpClient;
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    client = new HttpClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  after(() => {
    client.close();
    server.close();
  });

  test("is asked over another one", async () => {
    const first = await client.request("/");
    server.closeAllConnections(); // the client will see it only when it has sent its next request
    assert.equal((await client.request("/")).text, first.text);
  });
});
