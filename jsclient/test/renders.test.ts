import assert from "node:assert/strict";
import { test } from "node:test";
import { type Position, Space, type Version } from "../src/gen/isrd/v1/entry_pb.js";
import { Leases } from "../src/lease.js";
import { RENDER_LIFE_MS, Renders } from "../src/renders.js";

const key = { space: Space.ROUTE, name: "/a" } as const;
const version = (seq: bigint, token = 0n) => ({ epoch: 1n, seq, token }) as Version;
const request = (seq: bigint | undefined) => ({
  position: seq === undefined ? undefined : ({ epoch: 1n, seq, nonce: "" } as Position),
  localSeq: 99,
});
const own = request(1n);
const leases = new Leases();
const render = (base: Version | undefined, token = 0n, localSeq = 0, begin = own) => ({
  ...{ key, begin, base, lease: leases.grant(key, token), localSeq },
});

test("a set carries the lowest base of the open renders of its key, and the lease", () => {
  const renders = new Renders();
  const earlier = renders.open(render(version(5n, 7n), 11n, 3)).lease;
  renders.open(render(version(4n, 9n), 0n, 2));
  const { lease } = renders.open(render(version(6n, 1n), 12n, 9));
  renders.open({ ...render(version(1n)), key: { space: Space.FETCH, name: "/a" } });
  const closed = renders.close(key, own);
  assert.deepEqual(closed, { base: version(4n, 9n), position: undefined, lease, spare: [earlier], localSeq: 2 });
  assert.deepEqual([lease?.token, lease?.open], [12n, true], "the later one is still to be used");
  const { position } = own;
  assert.deepEqual(renders.close(key, own), { base: undefined, position, lease: undefined, spare: [], localSeq: 99 });
  assert.equal(renders.size, 1);
});

test("a render that ended without a set lends its base to nobody", () => {
  const renders = new Renders();
  const failed = renders.open(render(version(4n), 11n));
  renders.open(render(version(5n)));
  assert.equal(renders.drop(failed), true);
  assert.equal(renders.drop(failed), false);
  assert.deepEqual(renders.close(key, own).base, version(5n));
  assert.equal(renders.drop(failed), false);
});

test("a render is forgotten after its life: it keeps no other back, and takes nobody's base", () => {
  for (const [setter, base] of [
    ["old", version(2n, 8n)],
    ["young", version(9n, 8n)],
  ] as const) {
    let now = 0;
    const renders = new Renders(() => now);
    const old = request(2n);
    const young = request(6n);
    renders.open(render(version(4n, 3n), 0n, 0, old));
    now = RENDER_LIFE_MS + 1;
    renders.open(render(version(9n, 8n), 0n, 0, young));
    assert.deepEqual(renders.close(key, setter === "old" ? old : young).base, base);
  }
});

test("a render whose get was not answered counts from the beginning of its request, whoever sets", () => {
  const unanswered = request(3n);
  const answered = request(5n);
  for (const setter of [unanswered, answered]) {
    const renders = new Renders();
    renders.open(render(undefined, 0n, 0, unanswered));
    renders.open(render(version(7n, 2n), 2n, 0, answered));
    const { base, position, lease } = renders.close(key, setter);
    // The position beside the base says that the token is another render's.
    assert.deepEqual([base, position, lease?.token], [version(3n, 2n), unanswered.position, 2n]);
  }
  const renders = new Renders();
  renders.open(render(undefined, 0n, 0, unanswered));
  assert.deepEqual(renders.close(key, unanswered).position, unanswered.position);
});

test("a base is not lowered without need, nor lent to a request that began before anything was known", () => {
  const renders = new Renders();
  renders.open(render(version(7n, 2n)));
  assert.deepEqual(renders.close(key, own).base, version(7n, 2n), "its own get came after its beginning");
  renders.open(render(version(7n, 2n)));
  assert.deepEqual(renders.close(key, request(8n)).base, version(7n, 2n), "it joined an older render");
  renders.open(render(version(7n, 2n), 5n));
  const { base, position, lease } = renders.close(key, request(undefined));
  assert.deepEqual([base, position, lease?.token], [undefined, undefined, 5n]);
});

test("neither one key nor many keys make it grow without end", () => {
  const renders = new Renders();
  for (let i = 0; i < 1000; i++) renders.open(render(version(BigInt(1000 + i))));
  assert.deepEqual(renders.close(key, own).base, version(1000n));
  for (let i = 0; i < 20_000; i++) renders.open({ ...render(version(1n)), key: { space: Space.ROUTE, name: `/${i}` } });
  assert.equal(renders.size, 10_000);
  assert.equal(renders.close({ space: Space.ROUTE, name: "/0" }, own).base, undefined);
  assert.ok(renders.close({ space: Space.ROUTE, name: "/19999" }, own).base);
});

const call = { space: Space.USE_CACHE, name: "f" } as const;
const calledAt = (since: number, seq: bigint | undefined) => ({ ...request(seq), since });

test("what may have joined a call counts from the call: Next.js asks nobody then", () => {
  let now = 0;
  const renders = new Renders(() => now);
  renders.open({ ...render(version(3n, 30_111n)), key: call });
  now = 10;
  renders.open(render(version(7n, 70_222n)));
  now = 20;
  renders.close(call, calledAt(0, 2n), ["data"]);
  now = 30;
  const { base } = renders.close(key, own, ["data", "page"]);
  assert.deepEqual(base, version(3n, 30_222n), "with the ending of its own: two pages of one call are two versions");
});

test("not what began when the call was over, what lacks its tags, or what has no content", () => {
  let now = 0;
  const renders = new Renders(() => now);
  renders.open({ ...render(version(3n)), key: call });
  renders.open(render(version(7n)));
  renders.close(call, calledAt(0, 2n), ["data"]);
  assert.deepEqual(renders.close(key, own, ["other"]).base, version(7n));
  renders.open(render(version(7n)));
  assert.deepEqual(renders.close(key, own).base, version(7n));
  now = 1;
  renders.open(render(version(7n)));
  assert.deepEqual(renders.close(key, own, ["data"]).base, version(7n));
});

test("a call inside another counts for both; one without tags for all; one that counts from nowhere leaves nothing to count from", () => {
  const renders = new Renders(() => 5);
  renders.close(call, calledAt(0, 2n), []);
  const outer = { ...call, name: "outer" };
  assert.deepEqual(renders.close(outer, calledAt(5, 6n), ["data"]).position?.seq, 2n);
  renders.open(render(version(7n)));
  const { base, position } = renders.close(key, own, ["data", "page"]);
  assert.deepEqual([base?.seq, position?.seq], [2n, 2n]);
  renders.close(call, calledAt(0, undefined), []);
  renders.open(render(version(7n)));
  const nowhere = renders.close(key, own, ["data", "page"]);
  assert.deepEqual([nowhere.base, nowhere.position], [undefined, undefined]);
});

test("calls are forgotten with the renders that could have joined them", () => {
  let now = 0;
  const renders = new Renders(() => now);
  renders.close(call, calledAt(0, 2n), ["data"]);
  now = RENDER_LIFE_MS + 1;
  renders.close({ ...call, name: "other" }, calledAt(now, 9n), ["unrelated"]);
  const { position } = renders.close(key, request(8n), ["data"]); // without a get nobody knows when it began
  assert.equal(position?.seq, 8n);
});

test("a set without a get is of a render that began after its request, as a prefetch's is", () => {
  let now = 0;
  const renders = new Renders(() => now);
  renders.close(call, calledAt(0, 2n), ["data"]);
  now = 10;
  renders.close({ ...call, name: "later" }, calledAt(9, 4n), ["data"]);
  assert.equal(renders.close(key, { ...request(8n), at: 11 }, ["data"]).position?.seq, 8n);
  assert.equal(renders.close(key, { ...request(8n), at: 5 }, ["data"]).position?.seq, 4n);
  assert.equal(renders.close(key, request(8n), ["data"]).position?.seq, 2n, "nobody knows when that began");
});

test("the token of another connection's base says nothing of when the render began: the daemon may have been told things", () => {
  const renders = new Renders();
  const [first, second] = [{}, {}];
  renders.open({ ...render(version(7n, 70n)), via: first });
  assert.equal(renders.close(key, own, ["page"], first).position, undefined);
  renders.open({ ...render(version(7n, 70n)), via: first });
  renders.open({ ...render(version(8n, 80n)), via: second });
  const { base, position } = renders.close(key, own, ["page"], second);
  assert.deepEqual([base, position?.seq], [version(7n, 70n), 7n]);
  renders.open({ ...render(version(6n, 60n)), via: second });
  renders.open({ ...render(version(5n, 50n)), key: call, via: first });
  renders.close(call, own, ["data"], first);
  const lowered = renders.close(key, own, ["data"], second);
  assert.deepEqual([lowered.base?.seq, lowered.position?.seq], [5n, 5n]);
});

test("a call counts from what its request had before it, which Next.js gives to it without asking", () => {
  let now = 0;
  const renders = new Renders(() => now);
  renders.close({ ...call, name: "joined" }, calledAt(0, 4n), ["joined"]);
  now = 20;
  const read = (seq: bigint, tag: string, askedAt: number, name = "inner") => ({
    ...{ key: { ...call, name }, base: undefined, position: request(seq).position, localSeq: 0, tags: [tag], askedAt },
  });
  const of = (since: number, ...results: ReturnType<typeof read>[]) => ({ since, read: results });
  const seqOf = (inHand: ReturnType<typeof of>) => {
    renders.open({ ...render(version(7n)), key: call });
    const { base, position } = renders.close(call, { ...calledAt(now, 9n), inHand }, ["joined", "data"]);
    return position?.seq ?? base?.seq;
  };
  assert.equal(seqOf(of(10)), 7n, "what was over before the request is not its own");
  assert.equal(seqOf(of(10, read(3n, "data", 15), read(5n, "data", 16))), 3n);
  assert.equal(seqOf(of(10, read(3n, "other", 15), read(3n, "data", 20), read(8n, "data", 15))), 7n);
  assert.equal(seqOf(of(10, read(3n, "data", 15, call.name))), 7n, "its own old result is not in the new one");
  assert.equal(seqOf(of(0)), 4n, "what it may have joined it has, too");
});
