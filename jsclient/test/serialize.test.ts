import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SetRequestSchema } from "../src/gen/isrd/v1/cache_pb.js";
import { type Entry, EntrySchema, Kind } from "../src/gen/isrd/v1/entry_pb.js";
import { tagsOf } from "../src/next/space.js";
import type { AppPageValue, HostValue } from "../src/next/values.js";
import { decodeValue, encodeValue } from "../src/serialize.js";
import { encodeSized, sizeSetRequest } from "../src/wire.js";
import { appPage, fetched, RandomValues } from "./support/values.js";

/** Through the bytes that are sent, as the daemon reads them and gives them back. */
function overTheWire(value: HostValue | null): Entry {
  const { parts, status, headers, ...rest } = encodeValue(value);
  const entry = {
    ...rest,
    headers: [...headers],
    attributes: { ...rest.attributes },
    ...(status === undefined ? {} : { status }),
    tags: tagsOf(value, { tags: ["from-ctx"] }),
  };
  const sent = encodeSized(sizeSetRequest({ request: { leaseToken: 9n }, entry, parts }));
  const request = fromBinary(SetRequestSchema, sent);
  assert.equal(request.leaseToken, 9n);
  assert.ok(request.entry);
  return fromBinary(EntrySchema, Buffer.from(toBinary(EntrySchema, request.entry)));
}

test("2000 random values of every kind survive the wire exactly", () => {
  for (let seed = 0; seed < 2000; seed++) {
    const value = new RandomValues(seed).value();
    assert.deepStrictEqual(decodeValue(overTheWire(value)), value, `seed ${seed}`);
  }
});

test("the hand-written message is the one that the library would have written", () => {
  for (let seed = 0; seed < 300; seed++) {
    const value = new RandomValues(seed).value();
    const { parts, status, headers, ...rest } = encodeValue(value);
    const head = { ...rest, headers: [...headers], attributes: { ...rest.attributes } };
    const entry = status === undefined ? head : { ...head, status };
    const request = { leaseToken: BigInt(seed), base: { epoch: 1n, seq: 2n, token: 3n } };
    const library = create(SetRequestSchema, {
      ...request,
      entry: { ...entry, parts: parts.map((part) => ({ ...part, data: Buffer.from(part.data as string) })) },
    });
    const read = fromBinary(SetRequestSchema, encodeSized(sizeSetRequest({ request, entry, parts })));
    assert.deepStrictEqual(toBinary(SetRequestSchema, read), toBinary(SetRequestSchema, library), `seed ${seed}`);
  }
});

test("a large page survives: sizes beyond one, two and three varint bytes", () => {
  for (const length of [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    const value = appPage("é".repeat(length));
    assert.deepStrictEqual(decodeValue(overTheWire(value)), value);
  }
});

test("rscData and /_full are stored once and come back as one Buffer", () => {
  const page = appPage("<html>");
  const entry = overTheWire(page);
  const stored = entry.parts.reduce((sum, part) => sum + part.data.length, 0);
  assert.equal(stored, "<html>".length + "rsc of <html>".length + "tree".length);
  const back = decodeValue(entry) as AppPageValue;
  assert.equal(back.segmentData?.get("/_full"), back.rscData);
  assert.deepStrictEqual([...(back.segmentData?.keys() ?? [])], ["/_tree", "/_full", "/_head"]);
});

test("equal bytes in different Buffers are stored once too", () => {
  const page = appPage("<html>");
  page.segmentData?.set("/_full", Buffer.from(page.rscData as Buffer));
  assert.equal(overTheWire(page).parts.filter((part) => part.sameAs > 0).length, 1);
});

test("encoding leaves the value alone and refers to its buffers", () => {
  const page = appPage("<html>");
  const before = structuredClone({ ...page, segmentData: [...(page.segmentData ?? [])] });
  const draft = encodeValue(page);
  assert.deepStrictEqual(structuredClone({ ...page, segmentData: [...(page.segmentData ?? [])] }), before);
  assert.equal(draft.parts.find((part) => part.name === "rsc")?.data, page.rscData);
});

test("decoding copies no body: buffers are views of the message", () => {
  const entry = overTheWire(appPage("<html>"));
  const rsc = (decodeValue(entry) as AppPageValue).rscData;
  const source = entry.parts.find((part) => part.name === "rsc")?.data;
  assert.equal(rsc?.buffer, source?.buffer);
  assert.equal(rsc?.byteOffset, source?.byteOffset);
});

test("a fetch keeps its own tags apart from those that the reader added", () => {
  const value = fetched("body", ["a", "b"]);
  const entry = overTheWire(value);
  assert.deepStrictEqual(entry.tags, ["a", "b", "from-ctx"]);
  assert.deepStrictEqual(decodeValue(entry), value);
});

test("a header that is called __proto__ is a header", () => {
  const page = appPage("<html>");
  page.headers = Object.fromEntries([["__proto__", "x"]]);
  assert.deepStrictEqual(Object.entries((decodeValue(overTheWire(page)) as AppPageValue).headers ?? {}), [
    ["__proto__", "x"],
  ]);
});

const broken: [string, RegExp, (entry: Entry) => void][] = [
  ["a missing html", /part "html" is missing/, (entry) => entry.parts.shift()],
  [
    "a repetition of a part that is not there",
    /repeats part 98/,
    (entry) => ((entry.parts[2] as { sameAs: number }).sameAs = 99),
  ],
  ["a repetition of itself", /repeats part 1,/, (entry) => ((entry.parts[1] as { sameAs: number }).sameAs = 2)],
  ["an unknown kind", /of kind 99/, (entry) => ((entry as { kind: number }).kind = 99)],
  ["no kind", /of kind 0/, (entry) => (entry.kind = Kind.UNSPECIFIED)],
  [
    "a header without a value",
    /header "x-next-cache-tags" has no value/,
    (entry) => ((entry.headers[0] as { values: string[] }).values = []),
  ],
  [
    "a route without a status",
    /has no status/,
    (entry) => Object.assign(entry, { kind: Kind.APP_ROUTE, status: undefined }),
  ],
  ["a redirect without its JSON", /part "props" is missing/, (entry) => (entry.kind = Kind.REDIRECT)],
  [
    "an image without its etag",
    /attribute "etag" is missing|part "buffer" is missing/,
    (entry) => (entry.kind = Kind.IMAGE),
  ],
];

for (const [what, message, damage] of broken) {
  test(`an entry with ${what} is a clear error`, () => {
    const entry = overTheWire(appPage("<html>"));
    damage(entry);
    assert.throws(() => decodeValue(entry), message);
  });
}

test("JSON that is cut off is an error, and so is JSON that is no object", () => {
  for (const text of ['{"a":', "7", "null", ""]) {
    const entry = overTheWire({ kind: "REDIRECT", props: {} });
    (entry.parts[0] as { data: Uint8Array }).data = Buffer.from(text);
    assert.throws(() => decodeValue(entry), /JSON/);
  }
});

test("truncated and garbled entries throw or decode, and never hang or return half a value of another kind", () => {
  const random = new RandomValues(42);
  for (let round = 0; round < 2000; round++) {
    const value = random.value();
    const bytes = Buffer.from(toBinary(EntrySchema, overTheWire(value)));
    if (round % 2 === 0) bytes.fill(random.int(256), random.int(bytes.length + 1));
    const cut = round % 2 === 0 ? bytes : bytes.subarray(0, random.int(bytes.length + 1));
    try {
      const read = decodeValue(fromBinary(EntrySchema, cut));
      assert.ok(read === null || typeof read.kind === "string");
    } catch (error) {
      assert.ok(error instanceof Error && error.message.length > 0);
    }
  }
});

test("a value of an unknown kind is refused, not kept as something else", () => {
  assert.throws(() => encodeValue({ kind: "NEW" } as unknown as HostValue), /cannot keep a value of kind "NEW"/);
});
