import { isAscii, isUtf8, transcode } from "node:buffer";
import { type Entry, type Header, HeaderShape, Kind, type Part } from "./gen/isrd/v1/entry_pb.js";
import type {
  AppPageValue,
  Dialect,
  FetchValue,
  HostHeaders,
  HostValue,
  ImageValue,
  Page14Value,
} from "./next/values.js";

/** A part that is yet to be written. Text stays text: it becomes UTF-8 once, in the buffer that is sent. */
export interface PartDraft {
  readonly name: string;
  readonly data: string | Uint8Array;
  /** 1 + the index of an earlier part with the same bytes (`data` is then empty), or 0. */
  readonly sameAs: number;
}

/** An entry that is yet to be written, without what the host decides (lifetime, tags). Holds Next.js's own buffers. */
export interface EntryDraft {
  readonly kind: Kind;
  readonly parts: readonly PartDraft[];
  readonly status: number | undefined;
  readonly headers: readonly Pick<Header, "name" | "values" | "shape">[];
  readonly attributes: Readonly<Record<string, string>>;
}

const SEGMENT = "segment:";

/** Attributes beyond those that the contract names; each tells apart two values that would look alike on the wire. */
const EMPTY_HEADERS = "emptyHeaders";
const EMPTY_SEGMENTS = "emptySegments";
const OWN_TAGS = "ownTags";
const REVALIDATE = "revalidate";

/**
 * Translates a value of Next.js. Nothing is copied and nothing is changed: the draft refers to the value's buffers, which
 * Next.js goes on using. JSON is written only for `pageData` and redirects, which are objects.
 *
 * A FETCH value's own tags must come first in the entry's tags, for {@link decodeValue} to find them.
 *
 * Throws a TypeError for a value of a kind that it does not know.
 */
export function encodeValue(value: HostValue | null): EntryDraft {
  if (value === null) return draft(Kind.NOT_FOUND, []);
  switch (value.kind) {
    case "APP_PAGE":
      return encodeAppPage(value);
    case "PAGES":
      return draft(Kind.PAGES, [part("html", value.html), part("pageData", JSON.stringify(value.pageData))], value);
    case "APP_ROUTE":
    case "ROUTE":
      return draft(Kind.APP_ROUTE, [part("body", value.body)], value);
    case "PAGE":
      return encodePage14(value);
    case "REDIRECT":
      return draft(Kind.REDIRECT, [part("props", JSON.stringify(value.props))]);
    case "FETCH":
      return encodeFetch(value);
    case "IMAGE":
      return encodeImage(value);
    default:
      throw new TypeError(`cannot keep a value of kind ${JSON.stringify((value as { kind?: unknown }).kind)}`);
  }
}

function part(name: string, data: string | Uint8Array): PartDraft {
  return { name, data, sameAs: 0 };
}

function draft(
  kind: Kind,
  parts: readonly PartDraft[],
  response: { status?: number | undefined; headers?: HostHeaders | undefined } = {},
  attributes: Record<string, string> = {},
): EntryDraft {
  const headers = encodeHeaders(response.headers);
  if (response.headers && headers.length === 0) attributes[EMPTY_HEADERS] = "1";
  return { kind, parts, status: response.status, headers, attributes };
}

function encodeAppPage(value: AppPageValue): EntryDraft {
  const parts = [part("html", value.html)];
  let rscIndex = 0;
  if (value.rscData) {
    parts.push(part("rsc", value.rscData));
    rscIndex = parts.length;
  }
  if (value.postponed !== undefined) parts.push(part("postponed", value.postponed));
  for (const [path, data] of value.segmentData ?? []) {
    const same = value.rscData !== undefined && sameBytes(data, value.rscData);
    parts.push(same ? { name: SEGMENT + path, data: "", sameAs: rscIndex } : part(SEGMENT + path, data));
  }
  const attributes: Record<string, string> = value.segmentData?.size === 0 ? { [EMPTY_SEGMENTS]: "1" } : {};
  return draft(Kind.APP_PAGE, parts, value, attributes);
}

/** Next.js 14 has one kind for both routers, and the flight as text. */
function encodePage14({ html, pageData, postponed, ...response }: Page14Value): EntryDraft {
  const parts = [part("html", html)];
  if (typeof pageData === "object") {
    return draft(Kind.PAGES, [...parts, part("pageData", JSON.stringify(pageData))], response);
  }
  parts.push(part("rsc", pageData));
  if (postponed !== undefined) parts.push(part("postponed", postponed));
  return draft(Kind.APP_PAGE, parts, response);
}

/** Next.js 16 uses one Buffer for `/_full` and `rscData`, so that comparing bytes is the exception. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length > 0 && a.length === b.length && Buffer.compare(a, b) === 0);
}

function encodeFetch(value: FetchValue): EntryDraft {
  const attributes: Record<string, string> = { [REVALIDATE]: String(value.revalidate) };
  if (value.data.url !== undefined) attributes["url"] = value.data.url;
  if (value.tags) attributes[OWN_TAGS] = String(value.tags.length);
  return draft(Kind.FETCH, [part("body", value.data.body)], value.data, attributes);
}

function encodeImage(value: ImageValue): EntryDraft {
  const { etag, upstreamEtag, extension, revalidate } = value;
  const attributes: Record<string, string> = { etag, upstreamEtag, extension };
  if (revalidate !== undefined) attributes[REVALIDATE] = String(revalidate);
  return draft(Kind.IMAGE, [part("buffer", value.buffer)], {}, attributes);
}

function encodeHeaders(headers: HostHeaders | undefined): EntryDraft["headers"] {
  if (!headers) return [];
  const list: Pick<Header, "name" | "values" | "shape">[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (Array.isArray(value)) list.push({ name, values: value, shape: HeaderShape.LIST });
    else if (typeof value === "number") list.push({ name, values: [String(value)], shape: HeaderShape.NUMBER });
    else list.push({ name, values: [value], shape: HeaderShape.UNSPECIFIED });
  }
  return list;
}

/**
 * Translates an entry back into the value that was encoded; `null` is a cached "not found". Buffers are views of the
 * entry's bytes, parts that were stored once come back as one Buffer, text is decoded once. Pages and routes come as the
 * reader's Next.js wants them.
 *
 * Throws an Error that names what is wrong if the entry is incomplete or of a kind that it does not know.
 */
export function decodeValue(entry: Entry, dialect: Dialect = "15"): HostValue | null {
  switch (entry.kind) {
    case Kind.NOT_FOUND:
      return null;
    case Kind.APP_PAGE:
      return dialect === "14" ? decodePage14(entry) : decodeAppPage(entry);
    case Kind.PAGES:
      if (dialect === "14") return decodePage14(entry);
      return {
        kind: "PAGES",
        html: text(entry, "html"),
        pageData: json(entry, "pageData"),
        headers: headersOf(entry),
        status: entry.status,
      };
    case Kind.APP_ROUTE: {
      if (entry.status === undefined) throw new Error("an APP_ROUTE entry has no status");
      const route = { body: bytes(entry, "body"), status: entry.status, headers: headersOf(entry) ?? {} };
      return dialect === "14" ? { kind: "ROUTE", ...route } : { kind: "APP_ROUTE", ...route };
    }
    case Kind.REDIRECT:
      return { kind: "REDIRECT", props: json(entry, "props") };
    case Kind.FETCH:
      return decodeFetch(entry);
    case Kind.IMAGE:
      return decodeImage(entry);
    default:
      throw new Error(`an entry is of kind ${entry.kind}, which this version cannot read`);
  }
}

function decodePage14(entry: Entry): Page14Value {
  const app = entry.kind === Kind.APP_PAGE;
  return {
    kind: "PAGE",
    html: text(entry, "html"),
    pageData: app ? text(entry, "rsc") : json(entry, "pageData"),
    headers: headersOf(entry),
    postponed: app && entry.parts.some(({ name }) => name === "postponed") ? text(entry, "postponed") : undefined,
    status: entry.status,
  };
}

function decodeAppPage(entry: Entry): AppPageValue {
  const value: AppPageValue = {
    kind: "APP_PAGE",
    html: text(entry, "html"),
    rscData: undefined,
    headers: headersOf(entry),
    postponed: undefined,
    status: entry.status,
    segmentData: entry.attributes[EMPTY_SEGMENTS] ? new Map() : undefined,
  };
  const buffers: Array<Buffer | undefined> = [];
  for (const [index, piece] of entry.parts.entries()) {
    const data = resolve(piece, index, buffers);
    buffers.push(data);
    if (piece.name === "rsc") value.rscData = data;
    else if (piece.name === "postponed") value.postponed = decodeText(data);
    else if (piece.name.startsWith(SEGMENT)) {
      value.segmentData ??= new Map();
      value.segmentData.set(piece.name.slice(SEGMENT.length), data);
    }
  }
  return value;
}

function resolve(piece: Part, index: number, earlier: ReadonlyArray<Buffer | undefined>): Buffer {
  if (piece.sameAs === 0) return view(piece.data);
  const original = earlier[piece.sameAs - 1];
  if (!original)
    throw new Error(`part "${piece.name}" (${index}) repeats part ${piece.sameAs - 1}, which is not before it`);
  return original;
}

function decodeFetch(entry: Entry): FetchValue {
  const { status, attributes } = entry;
  const value: FetchValue = {
    kind: "FETCH",
    data: {
      headers: (headersOf(entry) ?? {}) as Record<string, string>,
      body: text(entry, "body"),
      url: attributes["url"] ?? "",
      ...(status === undefined ? {} : { status }),
    },
    revalidate: attributes[REVALIDATE] === "false" ? false : number(entry, REVALIDATE),
  };
  if (attributes[OWN_TAGS] !== undefined) value.tags = entry.tags.slice(0, number(entry, OWN_TAGS));
  return value;
}

function decodeImage(entry: Entry): ImageValue {
  const buffer = bytes(entry, "buffer");
  const value: ImageValue = {
    kind: "IMAGE",
    etag: attribute(entry, "etag"),
    upstreamEtag: attribute(entry, "upstreamEtag"),
    buffer,
    extension: attribute(entry, "extension"),
  };
  if (entry.attributes[REVALIDATE] !== undefined) value.revalidate = number(entry, REVALIDATE);
  return value;
}

function headersOf(entry: Entry): HostHeaders | undefined {
  if (entry.headers.length === 0) return entry.attributes[EMPTY_HEADERS] ? {} : undefined;
  return Object.fromEntries(entry.headers.map((header) => [header.name, headerValue(header)]));
}

function headerValue({ name, values, shape }: Header): string | string[] | number {
  if (shape === HeaderShape.LIST) return values;
  const [value] = values;
  if (value === undefined) throw new Error(`header "${name}" has no value`);
  return shape === HeaderShape.NUMBER ? Number(value) : value;
}

/** The bytes of a part as Next.js's Buffer, without a copy. */
function view(data: Uint8Array): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

function bytes(entry: Entry, name: string): Buffer {
  const found = entry.parts.find((piece) => piece.name === name);
  if (!found) throw new Error(`part "${name}" is missing from an entry of kind ${entry.kind}`);
  return view(found.data);
}

function text(entry: Entry, name: string): string {
  return decodeText(bytes(entry, name));
}

/**
 * Before Node 24, V8 decodes UTF-8 that is not plain ASCII byte by byte: 80 KB of HTML with a € in each line take 180 µs,
 * and 110 µs by way of UTF-16; with an é 110 µs and 28 µs (npm run bench). From 24 on the short way is the fast one.
 */
const SLOW_UTF8 = Number(process.versions.node.split(".")[0]) < 24;
const WORTHWHILE_BYTES = 1024;

function decodeText(data: Buffer): string {
  if (!SLOW_UTF8 || data.length < WORTHWHILE_BYTES || isAscii(data) || !isUtf8(data)) return data.toString("utf8");
  return transcode(data, "utf8", "utf16le").toString("utf16le");
}

function json(entry: Entry, name: string): object {
  const parsed: unknown = JSON.parse(text(entry, name));
  if (typeof parsed !== "object" || parsed === null) throw new Error(`part "${name}" holds no JSON object`);
  return parsed;
}

function attribute(entry: Entry, name: string): string {
  const value = entry.attributes[name];
  if (value === undefined) throw new Error(`attribute "${name}" is missing from an entry of kind ${entry.kind}`);
  return value;
}

function number(entry: Entry, name: string): number {
  const value = Number(attribute(entry, name));
  if (Number.isNaN(value)) throw new Error(`attribute "${name}" is no number: ${attribute(entry, name)}`);
  return value;
}
