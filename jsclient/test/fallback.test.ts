import assert from "node:assert/strict";
import { test } from "node:test";
import { Fallback } from "../src/fallback.js";
import { Space } from "../src/gen/isrd/v1/entry_pb.js";

const key = { space: Space.ROUTE, name: "/a" } as const;

function fallback(maxBytes = 10_000) {
  const clock = { now: 0 };
  const store = new Fallback(maxBytes, () => clock.now);
  const keep = (
    options: {
      name?: string;
      tags?: string[];
      revalidate?: number;
      expire?: number;
      bytes?: number;
      localSeq?: number;
    } = {},
  ) => {
    const { name = "/a", tags = [], bytes = 10, localSeq = store.seq, ...lifetime } = options;
    const value = { name };
    store.set({ ...key, name }, { value, tags, lifetime, bytes, localSeq });
    return value;
  };
  return { clock, store, keep };
}

test("fresh, then stale, then gone, by its lifetime", () => {
  const { clock, store, keep } = fallback();
  const value = keep({ revalidate: 10, expire: 20 });
  assert.deepEqual([store.get(key, [])?.entry.value, store.get(key, [])?.stale], [value, false]);
  clock.now = 10_000;
  assert.deepEqual([store.get(key, [])?.stale, store.get(key, [])?.ageMs], [true, 10_000]);
  clock.now = 20_000;
  assert.equal(store.get(key, []), undefined);
});

test("tags and soft tags end entries whose render began before; later ones live", () => {
  const { store, keep } = fallback();
  keep({ tags: ["t"] });
  store.revalidate([{ tag: "other" }]);
  assert.equal(store.get(key, ["soft"])?.stale, false);
  store.revalidate([{ tag: "t" }]);
  assert.equal(store.get(key, []), undefined);

  const before = store.seq;
  store.revalidate([{ tag: "soft" }]);
  keep({ localSeq: before });
  assert.equal(store.get(key, ["soft"]), undefined, "rendered before the revalidation, set after it");
  keep();
  assert.equal(store.get(key, ["soft"])?.stale, false);
});

test("a tag with a duration makes stale first and ends later; without one it ends at once", () => {
  const { clock, store, keep } = fallback();
  keep({ tags: ["t"] });
  store.revalidate([{ tag: "t", expireSeconds: 5 }]);
  assert.equal(store.get(key, [])?.stale, true);
  clock.now = 5000;
  assert.equal(store.get(key, []), undefined);
});

test("bounded in bytes: the least recently used goes, and what is larger than the whole never comes", () => {
  const { store, keep } = fallback(4000);
  keep({ name: "/1", bytes: 1000 });
  keep({ name: "/2", bytes: 1000 });
  store.get({ ...key, name: "/1" }, []);
  keep({ name: "/3", bytes: 1000 });
  assert.equal(store.get({ ...key, name: "/2" }, []), undefined);
  assert.ok(store.get({ ...key, name: "/1" }, []));
  keep({ name: "/1", bytes: 5000 });
  assert.equal(store.get({ ...key, name: "/1" }, []), undefined, "the old content must not outlive the new");
});

test("0 bytes keep nothing; clearing forgets all; too many tags forget all", () => {
  const none = fallback(0);
  none.keep();
  assert.equal(none.store.get(key, []), undefined);
  const { store, keep } = fallback();
  keep();
  store.clear();
  assert.equal(store.size, 0);
  keep();
  for (let i = 0; i <= 10_000; i++) store.revalidate([{ tag: `t${i}` }]);
  assert.equal(store.size, 0);
});
