import { messageOf } from "../../errors.js";
import { Failure } from "../failure.js";
import type { Io } from "../io.js";
import { bounded, openDocument, readDocument } from "./documents.js";
import type { Bounds, Candidate, Source } from "./sources.js";

/**
 * A list from a file, or from standard input if it is `-`: lines of text, `#` begins a comment; or, if it begins with a
 * bracket, a JSON array.
 */
export async function* listSource(name: string, io: Io, bounds: Bounds): Source {
  const title = name === "-" ? "standard input" : name;
  const document = name === "-" ? bounded(io.stdin, title, bounds) : openDocument(name, io.cwd, bounds);
  const decoder = new TextDecoder();
  let begun = false;
  let isJson = false;
  let rest = "";
  for await (const chunk of document) {
    rest += decoder.decode(chunk, { stream: true });
    if (!begun && rest.trim() === "") continue;
    if (!begun) isJson = rest.trimStart().startsWith("[");
    begun = true;
    if (isJson) continue;
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    yield* lines.flatMap(fromLine);
  }
  rest += decoder.decode();
  yield* isJson ? itemsOf(rest, "", title) : rest.split("\n").flatMap(fromLine);
}

/** A JSON document: the array that the pointer (RFC 6901) leads to; empty: the document itself is one. */
export async function* jsonSource(
  name: string,
  options: { pointer: string; headers: Record<string, string>; cwd: string; bounds: Bounds },
): Source {
  const { pointer, headers, cwd, bounds } = options;
  const document = openDocument(name, cwd, bounds, { headers, accept: "application/json" });
  yield* itemsOf(await readDocument(document), pointer, name);
}

function fromLine(line: string): Candidate[] {
  const text = line.trim();
  return text === "" || text.startsWith("#") ? [] : [{ text }];
}

function* itemsOf(text: string, pointer: string, title: string): Generator<Candidate> {
  for (const item of arrayAt(parse(text, title), pointer, title)) yield { text: textOf(item) };
}

function parse(text: string, title: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Failure(`${title} is not JSON: ${messageOf(error)}`);
  }
}

function arrayAt(document: unknown, pointer: string, title: string): unknown[] {
  let value = document;
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) {
      throw new Failure(`${title} has no "${name}" where --pointer "${pointer}" looks for it`);
    }
    value = (value as Record<string, unknown>)[name];
  }
  if (Array.isArray(value)) return value;
  const hint = pointer ? `"${pointer}" in ${title}` : title;
  throw new Failure(`${hint} is not an array: name the array of URLs with --pointer, such as /data/pages`);
}

/** What is neither text nor has some is passed on as JSON, to be refused and shown. */
function textOf(item: unknown): string {
  if (typeof item === "string") return item;
  const { path, url } = (item ?? {}) as { path?: unknown; url?: unknown };
  if (typeof path === "string") return path;
  if (typeof url === "string") return url;
  return JSON.stringify(item) ?? String(item);
}
