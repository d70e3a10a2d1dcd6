import assert from "node:assert/strict";
import { test } from "node:test";
import { Space, type Version } from "../src/gen/isrd/v1/entry_pb.js";
import { RENDER_LIFE_MS, Renders } from "../src/renders.js";

const key = { space: Space.ROUTE, name: "/a" } as const;
const version = (seq: bigint, token = 0n) => ({ epoch: 1n, seq, token }) as Version;
const render = (base: Version | undefined, leaseToken = 0n, localSeq = 0) => ({ key, base, leaseToken, localSeq });

test("a set carries the lowest base of the open renders of its key, and the lease", () => {
  const renders = new Renders();
  renders.open(render(version(5n, 7n), 11n, 3));
  renders.open(render(version(4n, 9n), 0n, 2));
  renders.open(render(version(6n, 1n), 12n, 9));
  renders.open({ ...render(version(1n)), key: { space: Space.FETCH, name: "/a" } });
  const closed = renders.close(key);
  assert.deepEqual(closed, { key, base: version(4n, 9n), leaseToken: 12n, localSeq: 2 });
  assert.equal(renders.close(key), undefined);
  assert.equal(renders.size, 1);
});

test("a render that ended without a set lends its base to nobody", () => {
  const renders = new Renders();
  const failed = renders.open(render(version(4n), 11n));
  renders.open(render(version(5n)));
  assert.equal(renders.drop(failed), true);
  assert.equal(renders.drop(failed), false);
  assert.deepEqual(renders.close(key)?.base, version(5n));
  assert.equal(renders.drop(failed), false);
});

test("a render is forgotten after its life", () => {
  let now = 0;
  const renders = new Renders(() => now);
  renders.open(render(version(4n)));
  now = RENDER_LIFE_MS + 1;
  renders.open(render(version(5n)));
  assert.deepEqual(renders.close(key)?.base, version(5n));
});

test("neither one key nor many keys make it grow without end", () => {
  const renders = new Renders();
  for (let i = 0; i < 1000; i++) renders.open(render(version(BigInt(1000 + i))));
  assert.deepEqual(renders.close(key)?.base, version(1000n));
  for (let i = 0; i < 20_000; i++) renders.open({ ...render(version(1n)), key: { space: Space.ROUTE, name: `/${i}` } });
  assert.equal(renders.size, 10_000);
  assert.equal(renders.close({ space: Space.ROUTE, name: "/0" }), undefined);
  assert.ok(renders.close({ space: Space.ROUTE, name: "/19999" }));
});
