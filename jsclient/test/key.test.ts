import assert from "node:assert/strict";
import { test } from "node:test";
import { Space } from "../src/gen/isrd/v1/entry_pb.js";
import { idOf, keyHasher } from "../src/key.js";

/** The right column was printed by the daemon's own Key.ID (daemon/internal/cache/key.go). */
test("a key has the hash that the daemon names it by in events", () => {
  const plain = keyHasher("shop", { buildId: "b1", deploymentId: "" });
  assert.equal(plain({ space: Space.ROUTE, name: "/a" }), "a1b78b76ef8d6b8649bf7bbfb56d884a");
  assert.equal(plain({ space: Space.FETCH, name: "/a" }), "32f71f4dd1d229697ef8467bd798fe4a");
  const deployed = keyHasher("läden", { buildId: "büild", deploymentId: "dpl" });
  assert.equal(deployed({ space: Space.ROUTE, name: "/route-cache/日本" }), "c082f035265e05ab45a330e7ad51811c");
});

test("a build scopes pages only", () => {
  const [one, two] = ["b1", "b2"].map((buildId) => keyHasher("shop", { buildId, deploymentId: "" }));
  assert.notEqual(one?.({ space: Space.ROUTE, name: "/a" }), two?.({ space: Space.ROUTE, name: "/a" }));
  assert.equal(one?.({ space: Space.IMAGE, name: "/a" }), two?.({ space: Space.IMAGE, name: "/a" }));
});

test("a key of one space is another than that of the next", () => {
  assert.notEqual(idOf({ space: Space.ROUTE, name: "/a" }), idOf({ space: Space.FETCH, name: "/a" }));
});
