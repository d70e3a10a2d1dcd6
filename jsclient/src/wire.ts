import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  type GetRequest,
  GetRequestSchema,
  type GetResponse,
  GetResponseSchema,
  SessionRequestSchema,
  type SessionResponse,
  SessionResponseSchema,
  SetRequestSchema,
  type SetResponse,
  SetResponseSchema,
} from "./gen/isrd/v1/cache_pb.js";
import { EntrySchema } from "./gen/isrd/v1/entry_pb.js";
import type { PartDraft } from "./serialize.js";

/** A set whose parts are still Next.js's own strings and buffers. */
export interface SetDraft {
  /** The request without its entry. */
  readonly request: MessageInitShape<typeof SetRequestSchema>;
  /** The entry without its parts; absent for a rewrite. */
  readonly entry?: MessageInitShape<typeof EntrySchema>;
  readonly parts: readonly PartDraft[];
}

/** A message whose size is known and which is yet to be written. */
export interface SizedMessage {
  readonly bytes: number;
  /** Writes the message and returns the offset behind it. */
  write(target: Buffer, offset: number): number;
}

const READ = { readUnknownFields: false } as const;

/** A frame of the client; everything but a set, which {@link encodeSetFrame} writes. */
export function encodeFrame(frame: MessageInitShape<typeof SessionRequestSchema>): Buffer {
  return asBuffer(toBinary(SessionRequestSchema, create(SessionRequestSchema, frame)));
}

/** Reads a frame of the daemon. Parts are views of `bytes`. Throws an Error if the bytes are no frame. */
export function decodeFrame(bytes: Buffer): SessionResponse {
  return fromBinary(SessionResponseSchema, bytes, READ);
}

/** The id of a frame that may be damaged behind it; 0 if there is none to be seen. */
export function idOfFrame(bytes: Buffer): bigint {
  try {
    const reader = new BinaryReader(bytes);
    const [field, type] = reader.tag();
    return field === 1 && type === WireType.Varint ? BigInt(reader.uint64()) : 0n;
  } catch {
    return 0n;
  }
}

export function encodeGetRequest(request: GetRequest): Buffer {
  return asBuffer(toBinary(GetRequestSchema, request));
}

/** Reads the answer of a unary Get. Parts are views of `bytes`. */
export function decodeGetResponse(bytes: Buffer): GetResponse {
  return fromBinary(GetResponseSchema, bytes, READ);
}

/** Reads the answer of a unary Set. */
export function decodeSetResponse(bytes: Buffer): SetResponse {
  return fromBinary(SetResponseSchema, bytes, READ);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/*
 * Bodies are written by hand: one buffer of the right size is filled once, and text becomes UTF-8 where it is to lie.
 * toBinary would encode text into a growing buffer and move the body once more at each of the four levels that enclose
 * it (see bench/encode.ts). Only the four fields below are known here; all metadata is left to the library, in front of them:
 * the fields of a message may come in any order.
 */
const LENGTH_DELIMITED = 2;
const SESSION_SET_TAG = tag(4);
const SET_ENTRY_TAG = tag(2);
const ENTRY_PARTS_TAG = tag(2);
const PART_NAME_TAG = tag(1);
const PART_DATA_TAG = tag(2);
const PART_SAME_AS_TAG = 3 << 3;

function tag(field: number): number {
  return (field << 3) | LENGTH_DELIMITED;
}

/** A set as the message of the unary method. */
export function sizeSetRequest(draft: SetDraft): SizedMessage {
  const head = toBinary(SetRequestSchema, create(SetRequestSchema, draft.request));
  if (!draft.entry) return { bytes: head.length, write: (target, offset) => put(target, offset, head) };
  const entryHead = toBinary(EntrySchema, create(EntrySchema, draft.entry));
  const parts = draft.parts.map(sizePart);
  const entryBytes = parts.reduce((sum, part) => sum + delimited(part.bytes), entryHead.length);
  return {
    bytes: head.length + delimited(entryBytes),
    write: (target, start) => {
      let offset = put(target, start, head);
      offset = putPrefix(target, offset, SET_ENTRY_TAG, entryBytes);
      offset = put(target, offset, entryHead);
      for (const part of parts) {
        offset = putPrefix(target, offset, ENTRY_PARTS_TAG, part.bytes);
        offset = part.write(target, offset);
      }
      return offset;
    },
  };
}

/** A set as a frame of the session. */
export function encodeSetFrame(id: bigint, set: SizedMessage): Buffer {
  const head = toBinary(SessionRequestSchema, create(SessionRequestSchema, { id }));
  const target = Buffer.allocUnsafe(head.length + delimited(set.bytes));
  set.write(target, putPrefix(target, put(target, 0, head), SESSION_SET_TAG, set.bytes));
  return target;
}

/** A sized message by itself. */
export function encodeSized(message: SizedMessage): Buffer {
  const target = Buffer.allocUnsafe(message.bytes);
  message.write(target, 0);
  return target;
}

function sizePart({ name, data, sameAs }: PartDraft): SizedMessage {
  const nameBytes = Buffer.byteLength(name);
  const dataBytes = typeof data === "string" ? Buffer.byteLength(data) : data.length;
  const sameBytes = sameAs === 0 ? 0 : 1 + varintBytes(sameAs);
  return {
    bytes: delimited(nameBytes) + delimited(dataBytes) + sameBytes,
    write: (target, start) => {
      let offset = putPrefix(target, start, PART_NAME_TAG, nameBytes);
      offset += target.write(name, offset);
      offset = putPrefix(target, offset, PART_DATA_TAG, dataBytes);
      offset = typeof data === "string" ? offset + target.write(data, offset) : put(target, offset, data);
      return sameAs === 0 ? offset : putVarint(target, putVarint(target, offset, PART_SAME_AS_TAG), sameAs);
    },
  };
}

/** The size of a length-delimited field with a one-byte tag. */
function delimited(bytes: number): number {
  return 1 + varintBytes(bytes) + bytes;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}

function put(target: Buffer, offset: number, bytes: Uint8Array): number {
  target.set(bytes, offset);
  return offset + bytes.length;
}

function putPrefix(target: Buffer, offset: number, fieldTag: number, bytes: number): number {
  return putVarint(target, putVarint(target, offset, fieldTag), bytes);
}

function putVarint(target: Buffer, start: number, value: number): number {
  let offset = start;
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) target[offset++] = (rest % 128) | 0x80;
  target[offset++] = rest;
  return offset;
}
