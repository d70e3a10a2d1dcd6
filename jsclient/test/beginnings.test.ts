import assert from "node:assert/strict";
import { test } from "node:test";
import { Beginnings } from "../src/beginnings.js";
import type { Position } from "../src/gen/isrd/v1/entry_pb.js";
import { Space } from "../src/gen/isrd/v1/entry_pb.js";
import { Renders } from "../src/renders.js";

const at = (seq: bigint, epoch = 7n): Position => ({ $typeName: "isrd.v1.Position", epoch, seq, nonce: `n${seq}` });

function scene(): { beginnings: Beginnings; told: string[]; clock: { now: number } } {
  const clock = { now: 0 };
  const told: string[] = [];
  const memory = {
    apply: () => void told.push("apply"),
    reached: () => void told.push("reached"),
    reset: () => void told.push("reset"),
  };
  return { beginnings: new Beginnings(memory, () => clock.now), told, clock };
}

test("a render counts from what was known when it began, and not from what came later", () => {
  const { beginnings, told, clock } = scene();
  clock.now = 10;
  beginnings.reset(at(1n));
  clock.now = 20;
  beginnings.apply([{ $typeName: "isrd.v1.Event", position: at(2n), marks: [], keyHashes: [] }]);
  clock.now = 30;
  beginnings.revalidated(5);
  beginnings.reached(at(2n));
  clock.now = 40;
  const known = [9, 10, 19, 20, 29, 30, 99].map((time) => {
    const { position, localSeq } = beginnings.at(time);
    return [position?.seq, localSeq];
  });
  assert.deepEqual(known, [
    [undefined, 0],
    [1n, 0],
    [1n, 0],
    [2n, 0],
    [2n, 0],
    [2n, 5],
    [2n, 5],
  ]);
  assert.equal(beginnings.at(99).since, 40, "nothing begins in the future");
  assert.equal(beginnings.at(Number.NaN).position, undefined);
  assert.deepEqual(told, ["reset", "apply", "reached"]);
});

test("of another history, and of what is long ago, nothing is known", () => {
  const { beginnings, clock } = scene();
  beginnings.reset(at(1n));
  clock.now = 1;
  beginnings.reset(undefined);
  assert.equal(beginnings.at(1).position, undefined);
  for (let seq = 2n; seq < 2000n; seq++) {
    clock.now = Number(seq);
    beginnings.reached(at(seq));
  }
  assert.equal(beginnings.at(100).position, undefined);
  assert.equal(beginnings.at(1500).position?.seq, 1500n);
});

test("a get that was answered before a render began is its own; one that came later is not", () => {
  const clock = { now: 10 };
  const renders = new Renders(() => clock.now);
  const key = { space: Space.USE_CACHE, name: "k" };
  const base = { $typeName: "isrd.v1.Version" as const, epoch: 7n, seq: 3n, token: 9n };
  const open = (): unknown =>
    renders.open({ key, begin: { position: at(3n), localSeq: 0 }, base, lease: undefined, localSeq: 0 });
  open();
  assert.deepEqual(renders.close(key, { position: at(3n), localSeq: 0, since: 11 }).position, undefined);
  open();
  const older = renders.close(key, { position: at(2n), localSeq: 0, since: 9 });
  assert.deepEqual([older.base?.seq, older.position?.seq], [2n, 2n]);
});
