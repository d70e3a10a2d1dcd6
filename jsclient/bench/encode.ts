/**
 * What it costs to write and to read a page as bytes, without any transport: the hand-written writer of wire.ts against
 * the library's, and the decoder.
 *
 *   npm run bench -w isrd
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { SessionRequestSchema, SessionResponseSchema, Status } from "../src/gen/isrd/v1/cache_pb.js";
import { decodeValue, encodeValue } from "../src/serialize.js";
import { decodeFrame, encodeSetFrame, sizeSetRequest } from "../src/wire.js";
import { pageOf } from "./page.js";

const ROUNDS = 2000;

function measure(run: () => unknown): string {
  for (let i = 0; i < 300; i++) run();
  const startedAt = performance.now();
  for (let i = 0; i < ROUNDS; i++) run();
  return (((performance.now() - startedAt) * 1000) / ROUNDS).toFixed(1).padStart(9);
}

console.log("page        write   by library      read   (µs)");
for (const [kilobytes, currency] of [[1], [28], [120], [120, "€"]] as const) {
  const page = pageOf(kilobytes * 1024, currency);
  const { parts, headers, status: _status, ...rest } = encodeValue(page);
  const entry = { ...rest, headers: [...headers], attributes: { ...rest.attributes } };
  const byHand = (): Buffer => encodeSetFrame(1n, sizeSetRequest({ request: { leaseToken: 1n }, entry, parts }));
  const bytesOf = (data: string | Uint8Array) => (typeof data === "string" ? Buffer.from(data) : data);
  const plainParts = () => parts.map((part) => ({ ...part, data: bytesOf(part.data) }));
  const byLibrary = (): Uint8Array => {
    const value = { leaseToken: 1n, entry: { ...entry, parts: plainParts() } };
    return toBinary(SessionRequestSchema, create(SessionRequestSchema, { id: 1n, frame: { case: "set", value } }));
  };
  const answer = { case: "get" as const, value: { status: Status.HIT, entry: { ...entry, parts: plainParts() } } };
  const frame = Buffer.from(toBinary(SessionResponseSchema, create(SessionResponseSchema, { id: 1n, frame: answer })));
  const read = (): unknown => {
    const response = decodeFrame(frame);
    return response.frame.case === "get" && response.frame.value.entry && decodeValue(response.frame.value.entry);
  };
  console.log(
    `${`${kilobytes} KB ${currency ?? ""}`.padEnd(8)}${measure(byHand)}  ${measure(byLibrary)}  ${measure(read)}`,
  );
}
