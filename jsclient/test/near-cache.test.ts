import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Position, PositionSchema, Space, VersionSchema } from "../src/gen/isrd/v1/entry_pb.js";
import { type Event, EventSchema } from "../src/gen/isrd/v1/session_pb.js";
import { keyHasher } from "../src/key.js";
import { NearCache, type NearFill } from "../src/near-cache.js";

const EPOCH = 7n;
const key = { space: Space.ROUTE, name: "/a" } as const;
const hashOf = keyHasher("shop", { buildId: "b1", deploymentId: "" });

const position = (seq: bigint, epoch = EPOCH): Position => create(PositionSchema, { epoch, seq, nonce: `n${seq}` });
const version = (seq: bigint, token = 1n) => create(VersionSchema, { epoch: EPOCH, seq, token });
const event = (seq: bigint, init: MessageInitShape<typeof EventSchema> = {}): Event =>
  create(EventSchema, { position: position(seq), ...init });
const marks = (...tags: string[]) => ({ marks: tags.map((tag) => ({ tag })) });

/** A cache that follows the log from 10 on. */
function cache(maxBytes = 100_000) {
  const clock = { now: 1_000_000 };
  const near = new NearCache({ maxBytes, hashOf, now: () => clock.now });
  near.reset(position(10n));
  const fill = (options: Partial<NearFill> = {}, value: object | null = { html: "x" }): object | null => {
    const rest = { tags: ["t"], softTags: [], lifetime: { revalidate: 60, expire: 600 }, bytes: 100 };
    const asOf = position(10n);
    near.fill({ key, version: version(5n), asOf, ...rest, bornAt: clock.now, turn: near.turn, ...options }, value);
    return value;
  };
  const got = (softTags: string[] = [], of = key as NearFill["key"]) => near.get(of, softTags)?.value;
  return { clock, near, fill, got };
}

describe("what is served", () => {
  test("the very object, its version and lifetime; null is a value too", () => {
    const { near, fill, got } = cache();
    const value = fill();
    assert.equal(got(), value);
    const entry = near.get(key, []);
    assert.deepEqual([entry?.version, entry?.lifetime], [version(5n), { revalidate: 60, expire: 600 }]);
    fill({ version: version(6n) }, null);
    assert.equal(got(), null);
    assert.equal(got([], { ...key, space: Space.FETCH }), undefined, "a key is a space and a name");
  });

  test("only while it is younger than revalidate and expire; then it is held, but not served", () => {
    for (const lifetime of [{ revalidate: 60, expire: 600 }, { revalidate: 600, expire: 60 }, { expire: 60 }]) {
      const { clock, near, fill, got } = cache();
      const value = fill({ lifetime, bornAt: clock.now - 59_000 });
      clock.now += 999;
      assert.equal(got(), value);
      clock.now += 1;
      assert.equal(got(), undefined, JSON.stringify(lifetime));
      assert.equal(near.held(key)?.value, value);
    }
    const { clock, fill, got } = cache();
    const value = fill({ lifetime: {} });
    clock.now += 1e12;
    assert.equal(got(), value);
  });

  test("only to readers whose soft tags it was judged with; its own tags were judged too", () => {
    const { near, fill, got } = cache();
    const value = fill({ softTags: ["a", "b"] });
    for (const softTags of [[], ["a"], ["b", "a"], ["a", "t"]]) assert.equal(got(softTags), value, softTags.join());
    for (const softTags of [["c"], ["a", "c"]]) assert.equal(got(softTags), undefined, softTags.join());
    assert.equal(near.held(key)?.value, value);
  });

  test("the same version judged for another reader is good for both; another version only for its own", () => {
    const { fill, got } = cache();
    fill({ softTags: ["a"] });
    fill({ softTags: ["b"] });
    assert.ok(got(["a", "b"]));
    fill({ softTags: ["c"], version: version(6n) });
    assert.ok(got(["c"]));
    assert.equal(got(["a"]), undefined);
  });

  test("ever new soft tags do not make an entry grow without end", () => {
    const { near, fill, got } = cache(10_000_000);
    for (let i = 0; i < 5000; i++) fill({ softTags: [`s${i}`] });
    assert.ok(got(["s4999"]));
    assert.equal(got(["s0"]), undefined);
    assert.ok(near.bytes < 100_000, `${near.bytes} bytes`);
  });

  test("a refreshed entry has its new age", () => {
    const { clock, fill, got } = cache();
    fill();
    clock.now += 60_000;
    assert.equal(got(), undefined);
    fill({ bornAt: clock.now });
    assert.ok(got());
  });
});

describe("events drop at once", () => {
  for (const [what, of] of [
    ["its tag", marks("other", "t")],
    ["a soft tag that it was judged with", marks("soft")],
    ["its key", { keyHashes: [Buffer.from(hashOf(key), "hex")] }],
    ["a tag that becomes stale only", { marks: [{ tag: "t", expireAtMs: 9_999_999_999_999n }] }],
  ] as const) {
    test(`by ${what}`, () => {
      const { near, fill, got } = cache();
      fill({ softTags: ["soft"] });
      near.apply([event(11n, { marks: [{ tag: "no" }], keyHashes: [Buffer.alloc(16)] })]);
      assert.ok(got());
      near.apply([event(12n, of as MessageInitShape<typeof EventSchema>)]);
      assert.equal(got(), undefined);
      assert.equal(near.held(key), undefined);
      assert.equal(near.bytes, 0);
    });
  }

  test("all entries of a tag, and only those", () => {
    const { near, fill, got } = cache();
    for (const name of ["/1", "/2", "/3"]) fill({ key: { ...key, name }, tags: [name === "/3" ? "other" : "t"] });
    near.apply([event(11n, marks("t"))]);
    assert.deepEqual(
      ["/1", "/2", "/3"].map((name) => got([], { ...key, name }) !== undefined),
      [false, false, true],
    );
    near.forget(["other"]);
    assert.equal(near.size, 0);
  });

  test("an entry that was replaced is found by its new tags, not by its old ones", () => {
    const { near, fill, got } = cache();
    fill({ tags: ["old"] });
    const value = fill({ tags: ["new"], version: version(6n) });
    near.apply([event(11n, marks("old"))]);
    assert.equal(got(), value);
    near.apply([event(12n, marks("new"))]);
    assert.equal(got(), undefined);
  });
});

describe("what is not kept, because it was overtaken", () => {
  for (const [what, of] of [
    ["tag", marks("t")],
    ["soft tag", marks("soft")],
    ["key", { keyHashes: [Buffer.from(hashOf(key), "hex")] }],
  ] as const) {
    test(`an answer whose ${what} had an event since, however many frames were read before its caller went on`, () => {
      const { near, fill, got } = cache();
      near.apply([event(11n, of as MessageInitShape<typeof EventSchema>)]);
      near.apply([event(12n, marks("no")), event(13n, marks("neither"))]);
      fill({ softTags: ["soft"], asOf: position(10n) });
      assert.equal(got(), undefined);
      fill({ softTags: ["soft"], asOf: position(11n) });
      assert.ok(got());
    });
  }

  test("an answer from before what is remembered of the events", () => {
    const { near, fill, got } = cache();
    near.apply([event(11n, marks("first"))]);
    for (let i = 0; i < 10_000; i++) near.apply([event(BigInt(12 + i), marks(`t${i}`))]);
    fill({ asOf: position(10n) });
    assert.equal(got(), undefined, "its tag may have been among them");
    fill({ asOf: position(11n) });
    assert.ok(got());
  });

  test("an answer from before a reset, or of another history of the log", () => {
    const { near, fill, got } = cache();
    fill();
    near.reset(position(20n));
    assert.equal(got(), undefined);
    fill({ asOf: position(19n) });
    assert.equal(got(), undefined);
    fill({ asOf: position(25n, 6n) });
    fill({ asOf: position(25n, 8n) });
    assert.equal(got(), undefined);
    fill({ asOf: position(20n) });
    assert.ok(got());
  });

  test("everything, when the log goes on in another history", () => {
    for (const [what, act] of [
      ["an event", (near: NearCache) => near.apply([event(30n, { position: position(30n, 8n) })])],
      ["a position", (near: NearCache) => near.reached(position(30n, 8n))],
    ] as const) {
      const { near, fill, got } = cache();
      fill();
      near.reached(position(11n));
      assert.ok(got());
      act(near);
      assert.equal(got(), undefined, what);
      fill({ asOf: position(30n) });
      assert.equal(got(), undefined, what);
      fill({ asOf: position(30n, 8n) });
      assert.ok(got(), what);
    }
  });

  test("anything, while nobody knows where the log is", () => {
    const { near, fill, got } = cache();
    fill();
    near.apply([create(EventSchema, marks("no"))]);
    assert.equal(got(), undefined, "an event without its place");
    fill();
    assert.equal(got(), undefined);
    near.reached(position(12n));
    fill({ asOf: position(12n) });
    assert.ok(got());
  });

  test("an older version than is there", () => {
    const { fill, got } = cache();
    const value = fill({ version: version(6n, 9n) });
    for (const older of [version(6n, 8n), version(5n, 99n)]) fill({ version: older });
    assert.equal(got(), value);
  });
});

describe("a write of this process", () => {
  test("drops what is there when it begins, and what was asked for before it", () => {
    const { near, fill, got } = cache();
    fill();
    const before = near.turn;
    const turn = near.begin(key);
    assert.equal(got(), undefined);
    fill({ turn: before, version: version(9n) });
    assert.equal(got(), undefined, "the answer of a get that was sent before");
    fill({ turn: before, key: { ...key, name: "/b" } });
    assert.ok(got([], { ...key, name: "/b" }), "of another key");
    const value = fill({ turn, version: version(5n) });
    assert.equal(got(), value);
  });

  test("of two, the later one counts, whichever is acknowledged first", () => {
    const { near, fill, got } = cache();
    const [first, second] = [near.begin(key), near.begin(key)];
    const value = fill({ turn: second });
    fill({ turn: first, version: version(9n) });
    assert.equal(got(), value);
  });

  test("is remembered for a while; what was asked for before that is not kept", () => {
    const { near, fill, got } = cache();
    const before = near.turn;
    near.begin(key);
    for (let i = 0; i < 10_000; i++) near.begin({ ...key, name: `/${i}` });
    fill({ turn: before });
    assert.equal(got(), undefined);
  });
});

describe("memory", () => {
  test("is bounded in bytes: the least recently used goes, and what is larger than the whole never comes", () => {
    const { near, fill, got } = cache(5000);
    const of = (name: string) => ({ ...key, name });
    for (const name of ["/1", "/2"]) fill({ key: of(name), bytes: 1500 });
    assert.ok(near.bytes > 3000 && near.bytes <= 5000);
    got([], of("/1"));
    fill({ key: of("/3"), bytes: 1500 });
    assert.deepEqual(
      ["/1", "/2", "/3"].map((name) => got([], of(name)) !== undefined),
      [true, false, true],
    );
    assert.ok(near.bytes <= 5000);
    fill({ key: of("/1"), bytes: 5000, version: version(6n) });
    assert.equal(got([], of("/1")), undefined, "the old content must not outlive the new");
    near.apply([event(11n, marks("t"))]);
    assert.deepEqual([near.size, near.bytes], [0, 0]);
  });

  test("names cost too: what is indexed is counted", () => {
    const few = cache();
    const many = cache();
    few.fill();
    many.fill({ tags: Array.from({ length: 100 }, (_, i) => `tag-${i}`) });
    assert.ok(many.near.bytes - few.near.bytes > 100 * 50);
  });

  test("0 bytes keep nothing, and break nothing", () => {
    const { near, fill, got } = cache(0);
    fill({ turn: near.begin(key) });
    near.apply([event(11n, marks("t"))]);
    near.forget(["t"]);
    near.reset(position(20n));
    assert.deepEqual([got(), near.held(key), near.size, near.bytes], [undefined, undefined, 0, 0]);
  });
});
