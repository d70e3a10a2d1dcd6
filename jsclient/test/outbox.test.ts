import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_TAGS, Outbox } from "../src/outbox.js";

test("one mark per tag, the strongest; settled only if it was not made again", () => {
  let now = 0;
  const outbox = new Outbox(() => now);
  outbox.add([{ tag: "a", expireSeconds: 60 }, { tag: "b" }]);
  outbox.add([{ tag: "a" }, { tag: "b", expireSeconds: 9 }, { tag: "c", expireSeconds: 9 }]);
  outbox.add([{ tag: "c", expireSeconds: 60 }]);
  const batch = outbox.take();
  assert.deepEqual(batch.marks, [{ tag: "a" }, { tag: "b" }, { tag: "c", expireSeconds: 9 }]);
  now = 4_500;
  assert.deepEqual(outbox.take(["c"]).marks, [{ tag: "c", expireSeconds: 5 }]);
  outbox.add([{ tag: "b" }]);
  outbox.settle(batch);
  assert.deepEqual(outbox.take().marks, [{ tag: "b" }]);
  now = 1e9;
  outbox.add([{ tag: "d", expireSeconds: 0 }]);
  assert.deepEqual(outbox.take(["d", "e"]).marks, [{ tag: "d", expireSeconds: 0 }]);
});

test("bounded, and what found no room is counted; a tag that is there always finds room", () => {
  const outbox = new Outbox();
  const tags = Array.from({ length: MAX_TAGS + 5 }, (_, i) => ({ tag: `t${i}` }));
  assert.equal(outbox.add(tags), 5);
  assert.equal(outbox.size, MAX_TAGS);
  assert.equal(outbox.add([{ tag: "t0" }]), 0);
  let sent = 0;
  for (let batch = outbox.take(); batch.marks.length > 0; batch = outbox.take()) {
    sent += batch.marks.length;
    assert.ok(batch.marks.length <= 256);
    outbox.settle(batch);
  }
  assert.equal(sent, MAX_TAGS);
  assert.equal(outbox.size, 0);
});
