// A daemon that asks for a secret serves those that have it, and the others are no worse off than without a cache.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { TOLD_LIFETIMES } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";

describe("a daemon with a token", () => {
  const secret = "the-right-one";

  describe("and replicas with another one", () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ topology: "embedded", token: secret, env: { ISRD_TOKEN: "a-wrong-one" } });
    });
    after(() => fleet?.stop());

    test("serve every page by rendering it, and say once what is wrong", async () => {
      for (const replica of fleet.replicas) {
        for (let number = 0; number < 10; number++) {
          for (const router of ["a", "p", "r"]) {
            const { status } = await replica.request(`/${router}/1k-${number}`);
            assert.equal(status, 200);
          }
        }
      }
      assert.equal(fleet.origin.renders("/a/1k-0"), 2, "each for itself: the daemon has refused them");
      for (const replica of fleet.replicas) {
        const lines = replica.program.lines(/isrd/i);
        const said = lines.filter((line) => !line.startsWith("# pid") && !TOLD_LIFETIMES.test(line));
        assert.equal(said.length, 1, said.join("\n"));
        assert.match(said[0] ?? "", /wrong token.*ISRD_TOKEN/);
        assert.ok(!replica.program.output.includes("a-wrong-one"), "the secret is not in the log");
      }
      for (const daemon of fleet.daemons) {
        assert.ok(!daemon.program.output.includes(secret), "nor in the daemon's");
        assert.ok(!daemon.program.output.includes("a-wrong-one"), "nor is what was tried");
      }
    });
  });

  describe("and replicas that have it", () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ topology: "embedded", token: secret, env: { ISRD_TOKEN: secret } });
    });
    after(() => fleet?.stop());

    test("share their pages", async () => {
      for (const page of ["/a/shared", "/a/400k-shared"]) {
        const first = await fleet.a.request(page);
        const second = await fleet.b.request(page);
        assert.equal(second.cache, "HIT", "by the session, and beside it");
        assert.deepEqual(second.marker, first.marker);
      }
    });
  });
});
