/** A path of the app: as its manifests and cache keys name it, and as a request has it. Neither has the base path. */
export interface AppPath {
  /** Percent-decoded but for the delimiters, as Next.js does it: `/blog/a b`, `/blog/a%2Fb`. No slash at the end. */
  readonly name: string;
  /** Percent-encoded. */
  readonly request: string;
}

/** Why a URL or path cannot be used. */
export type PathRefusal = "no-path" | "query" | "encoding" | "traversal" | "origin" | "base-path" | "reserved";

/** Which absolute URLs are this app's. */
export interface Place {
  /** Hosts (with their port, if it is not the scheme's own) whose URLs are taken. */
  readonly hosts: ReadonlySet<string>;
  /** What paths begin with, without a slash at the end; empty: nothing. */
  readonly basePath: string;
}

/** Reads a URL or path as somebody has written it down: as a browser has it, with the base path. */
export function parsePath(text: string, { hosts, basePath }: Place): AppPath | PathRefusal {
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/is.exec(text);
  if (!absolute && !/^\/(?!\/)/.test(text)) return "no-path";
  if (absolute && !hosts.has(hostOf(text))) return "origin";
  const path = absolute ? absolute[2] || "/" : text;
  if (/[?#]/.test(path)) return "query";
  const below = withoutBase(path, basePath);
  return below === undefined ? "base-path" : fromSegments(below, decodeSegment);
}

/** Reads a path as a cache key has it: decoded, but for the delimiters, and without the base path. */
export function parseName(name: string): AppPath | PathRefusal {
  return name.startsWith("/") ? fromSegments(name, (segment) => segment) : "no-path";
}

/** The host of an absolute URL, in its usual spelling; empty if it has none. */
export function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return "";
  }
}

/** Where Next.js keeps the files of a path: `/` is `/index`, and `/index` then has to be something else. */
export function pagePath(name: string): string {
  if (name === "/") return "/index";
  return /^\/index(\/|$)/.test(name) ? `/index${name}` : name;
}

function withoutBase(path: string, basePath: string): string | undefined {
  if (!basePath) return path;
  if (path === basePath) return "/";
  return path.startsWith(`${basePath}/`) ? path.slice(basePath.length) : undefined;
}

function fromSegments(path: string, decode: (segment: string) => string | undefined): AppPath | PathRefusal {
  const trimmed = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  if (trimmed === "/") return { name: "/", request: "/" };
  const names: string[] = [];
  for (const segment of trimmed.slice(1).split("/")) {
    const name = decode(segment);
    if (name === undefined || !isPlain(name)) return "encoding";
    if (name === "" || isDots(name)) return "traversal";
    names.push(name);
  }
  if (names[0] === "_next") return "reserved";
  return { name: `/${names.join("/")}`, request: `/${names.map(encodeSegment).join("/")}` };
}

/** Next.js decodes a segment and then encodes again what would be taken for a delimiter, or for one that is encoded. */
function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment).replace(/[/#?]|%(?:2f|23|3f)/gi, encodeURIComponent);
  } catch {
    return undefined;
  }
}

/** The reverse: what is left encoded in a name stays as it is. */
function encodeSegment(name: string): string {
  return name
    .split(/(%(?:2F|23|3F))/)
    .map((piece, index) => (index % 2 === 1 ? piece : encodeURIComponent(piece)))
    .join("");
}

/** No control character, no half of a surrogate pair, and no backslash: of that, versions of Next.js make different keys. */
function isPlain(name: string): boolean {
  return !/[\p{Cc}\p{Cs}\\]/u.test(name);
}

function isDots(name: string): boolean {
  return /^(?:\.|%2e){1,2}$/i.test(name);
}
