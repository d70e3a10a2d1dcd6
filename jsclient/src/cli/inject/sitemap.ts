import sax, { type QualifiedTag } from "sax";
import { messageOf } from "../../errors.js";
import { Failure } from "../failure.js";
import { isUrl, openDocument } from "./documents.js";
import type { Bounds, Source } from "./sources.js";

/** An index may name indexes; the protocol allows none of that, and sites do it. */
const MAX_DEPTH = 3;
const MAX_SITEMAPS = 5_000;

/** The protocol allows 2,048 characters. What is longer is cut, and then matches nothing. */
const MAX_URL_CHARACTERS = 4_096;

/** What a sitemap says: the URLs of pages, or those of more sitemaps. */
interface Loc {
  readonly kind: "page" | "sitemap";
  readonly url: string;
}

/** The URLs of a sitemap, and of all that an index leads to. `name` is a URL or a file. */
export async function* sitemapSource(name: string, cwd: string, bounds: Bounds): Source {
  const seen = new Set([name]);
  let level = [name];
  for (let depth = 0; level.length > 0; depth++) {
    const next: string[] = [];
    for (const sitemap of level) {
      for await (const { kind, url } of locsOf(sitemap, openDocument(sitemap, cwd, bounds))) {
        if (kind === "page") {
          yield { text: url };
        } else if (!seen.has(url)) {
          next.push(checkedChild(url, { of: sitemap, depth, count: seen.size }));
          seen.add(url);
        }
      }
    }
    level = next;
  }
}

function checkedChild(url: string, { of, depth, count }: { of: string; depth: number; count: number }): string {
  // A sitemap of the network names no files of this machine.
  if (!isUrl(url)) throw new Failure(`${of} names the sitemap "${url}", which is no http URL`);
  if (depth >= MAX_DEPTH) throw new Failure(`${of} is an index at depth ${depth}; ${MAX_DEPTH} are followed`);
  if (count >= MAX_SITEMAPS) throw new Failure(`${of} and what is above it name more than ${MAX_SITEMAPS} sitemaps`);
  return url;
}

/** Reads one sitemap. A DTD is passed over: nothing is loaded for it, and an entity that it defines is an error. */
export async function* locsOf(name: string, document: AsyncIterable<Uint8Array>): AsyncGenerator<Loc> {
  const reader = new LocReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const chunk of document) yield* reader.write(decoder.decode(chunk, { stream: true }));
    yield* reader.end(decoder.decode());
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`${name} is not a sitemap: ${messageOf(error).split("\n")[0]} (a list of URLs is for --list)`);
  }
}

/** The `<loc>` of every `<url>` and `<sitemap>`, in the root's own namespace: an `<image:loc>` is none. */
class LocReader {
  readonly #parser = sax.parser(true, { xmlns: true });
  readonly #open: QualifiedTag[] = [];
  #found: Loc[] = [];
  #kind: Loc["kind"] | undefined;
  #text = "";

  constructor() {
    const parser = this.#parser;
    parser.onprocessinginstruction = ({ name, body }) => this.#declared(name, body);
    parser.onopentag = (tag) => this.#opened(tag as QualifiedTag);
    parser.onclosetag = () => this.#closed();
    parser.ontext = (text) => this.#said(text);
    parser.oncdata = (text) => this.#said(text);
    parser.onerror = (error) => {
      throw error;
    };
  }

  write(text: string): Loc[] {
    this.#parser.write(text);
    const found = this.#found;
    this.#found = [];
    return found;
  }

  end(text: string): Loc[] {
    const found = this.write(text);
    this.#parser.close();
    return found;
  }

  #declared(name: string, body: string): void {
    const encoding = /encoding\s*=\s*["']([^"']+)/.exec(body)?.[1]?.toLowerCase();
    if (name !== "xml" || !encoding || encoding === "utf-8" || encoding === "us-ascii") return;
    throw new Error(`its encoding is ${encoding}; sitemaps are UTF-8`);
  }

  #opened(tag: QualifiedTag): void {
    const [root, parent] = this.#open;
    if (!root && tag.local !== "urlset" && tag.local !== "sitemapindex") {
      throw new Error(`its first element is <${tag.name}>, not <urlset> or <sitemapindex>`);
    }
    if (root && parent && this.#open.length === 2 && tag.local === "loc" && tag.uri === root.uri) {
      this.#kind = KINDS.get(`${root.local} ${parent.local}`);
    }
    this.#open.push(tag);
  }

  #closed(): void {
    this.#open.pop();
    if (this.#open.length !== 2 || !this.#kind) return;
    const url = this.#text.trim();
    if (url) this.#found.push({ kind: this.#kind, url });
    this.#kind = undefined;
    this.#text = "";
  }

  #said(text: string): void {
    if (this.#kind && this.#text.length < MAX_URL_CHARACTERS) this.#text += text.slice(0, MAX_URL_CHARACTERS);
  }
}

const KINDS: ReadonlyMap<string, Loc["kind"]> = new Map([
  ["urlset url", "page"],
  ["sitemapindex sitemap", "sitemap"],
]);
