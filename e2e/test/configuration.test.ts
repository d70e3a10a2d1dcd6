// The ways to name the handler. All other tests use the two lines in next.config.js.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SKIP_HANDLER_PATH } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";

describe("NEXT_CACHE_HANDLER_PATH, with nothing of isrd in next.config.js", { skip: SKIP_HANDLER_PATH }, () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ topology: "embedded", handlerByEnvironment: true });
  });
  after(() => fleet?.stop());

  test("what A has rendered, B serves", async () => {
    for (const page of ["/a/by-environment", "/p/by-environment", "/r/by-environment"]) {
      const first = await fleet.a.request(page);
      const second = await fleet.b.request(page);
      assert.equal(second.cache, "HIT");
      assert.deepEqual(second.marker, first.marker);
      assert.equal(fleet.origin.renders(page), 1);
    }
  });
});
