import { parseArgs } from "node:util";
import { misuse } from "../failure.js";
import {
  checked,
  type GivenLifetimes,
  type Lifetime,
  parseRevalidate,
  parseRouteLifetime,
  parseSeconds,
} from "./lifetimes.js";
import { hostOf } from "./paths.js";
import type { Bounds } from "./sources.js";

/** The command line, understood. */
export interface Options {
  readonly help: boolean;
  readonly dir: string;
  readonly sitemaps: readonly string[];
  readonly lists: readonly string[];
  readonly jsons: readonly string[];
  readonly pointer: string;
  readonly headers: Record<string, string>;
  readonly fromDaemon: boolean;
  readonly lifetimes: GivenLifetimes;
  readonly hosts: readonly string[];
  readonly basePath: string | undefined;
  readonly locale: string | undefined;
  readonly maxUrls: number;
  readonly bounds: Bounds;
  readonly dryRun: boolean;
  readonly restore: boolean;
  readonly strict: boolean;
  readonly output: "text" | "json";
}

const DEFAULTS = { "max-urls": "200000", "max-bytes": "67108864", timeout: "30" };

export const HELP = `Usage: npx isrd inject-routes <sources> [options]

Writes known URLs into the prerender manifest of a build, so that a path that the build has not rendered has its lifetime
from the first response of a process on. Run it after \`next build\` and before \`next start\`.

Sources, one or more, each as often as needed:
  --sitemap URL|FILE       a sitemap, or an index of them; may be gzip
  --list FILE|-            URLs or paths, one a line, # begins a comment; or a JSON array
  --json URL|FILE          a JSON document; its items are strings, or objects with "path" or "url"
    --pointer POINTER        where its array is, such as /data/pages (RFC 6901)
    --header 'NAME: VALUE'   sent with the request, and to no other origin
  --from-daemon            the pages that the daemon has, of ISRD_APP at ISRD_ADDRESS, with their lifetimes

Lifetimes, in seconds:
  --revalidate S|false     of paths of which nothing better is known; default: what the build's pages of the route have
  --expire S               after which they may not be served any more; default: the build's
  --route PATTERN=S[,S]    revalidate and expire of a route, such as '/blog/[slug]=600'

Which URLs:
  --origin URL             whose absolute URLs are taken; default: the origins of the sitemaps
  --base-path PATH         what paths begin with; default: the build's; '': they come without it
  --locale LOCALE          of paths without one, for the Pages Router; default: the build's

Files and outcome:
  --dir DIR                the project, or its build output (default: .)
  --dry-run                only say what would be done
  --restore                undo: bring back the manifest that the build has written
  --strict                 fail if anything was refused
  --output text|json       how the summary is written (default: text)
  --max-urls N             (default: ${DEFAULTS["max-urls"]})   --max-bytes N   of one document, unpacked (default: 64 MiB)
  --timeout S              for an HTTP server to go on (default: ${DEFAULTS.timeout})

Exits with 0 if it is done, 1 if it is not, 2 if the command line is wrong.`;

const ARGUMENTS = {
  help: { type: "boolean", short: "h" },
  dir: { type: "string", default: "." },
  sitemap: { type: "string", multiple: true, default: [] as string[] },
  list: { type: "string", multiple: true, default: [] as string[] },
  json: { type: "string", multiple: true, default: [] as string[] },
  pointer: { type: "string", default: "" },
  header: { type: "string", multiple: true, default: [] as string[] },
  "from-daemon": { type: "boolean", default: false },
  revalidate: { type: "string" },
  expire: { type: "string" },
  route: { type: "string", multiple: true, default: [] as string[] },
  origin: { type: "string", multiple: true, default: [] as string[] },
  "base-path": { type: "string" },
  locale: { type: "string" },
  "max-urls": { type: "string", default: DEFAULTS["max-urls"] },
  "max-bytes": { type: "string", default: DEFAULTS["max-bytes"] },
  timeout: { type: "string", default: DEFAULTS.timeout },
  "dry-run": { type: "boolean", default: false },
  restore: { type: "boolean", default: false },
  strict: { type: "boolean", default: false },
  output: { type: "string", default: "text" },
} as const;

/** Reads the command line. Throws a Failure that says what is wrong with it. */
export function parseOptions(args: readonly string[]): Options {
  const values = parsed(args);
  const options: Options = {
    help: values.help ?? false,
    dir: values.dir,
    ...{ sitemaps: values.sitemap, lists: values.list, jsons: values.json, fromDaemon: values["from-daemon"] },
    pointer: pointerFrom(values.pointer),
    headers: headersFrom(values.header),
    lifetimes: lifetimesFrom(values),
    hosts: values.origin.map(originFrom),
    basePath: basePathFrom(values["base-path"]),
    locale: values.locale,
    maxUrls: whole(values["max-urls"], "--max-urls"),
    bounds: {
      maxBytes: whole(values["max-bytes"], "--max-bytes"),
      timeoutMs: whole(values.timeout, "--timeout") * 1000,
    },
    ...{ dryRun: values["dry-run"], restore: values.restore, strict: values.strict },
    output: outputFrom(values.output),
  };
  if (!options.help) refuseNonsense(options);
  return options;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: ARGUMENTS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const message = error instanceof Error ? error.message.split(". ")[0] : String(error);
    throw misuse(`inject-routes: ${message} (npx isrd inject-routes --help)`);
  }
}

function refuseNonsense(options: Options): void {
  const { sitemaps, lists, jsons, fromDaemon, restore, pointer, headers } = options;
  const sources = sitemaps.length + lists.length + jsons.length + (fromDaemon ? 1 : 0);
  if (restore && sources > 0)
    throw misuse("--restore undoes, and --sitemap, --list, --json and --from-daemon do: choose");
  if (!restore && sources === 0) {
    throw misuse(
      "inject-routes: no URLs: name --sitemap, --list, --json or --from-daemon (npx isrd inject-routes --help)",
    );
  }
  if (lists.filter((name) => name === "-").length > 1) throw misuse("--list - reads standard input; once is all");
  if (jsons.length === 0 && (pointer || Object.keys(headers).length > 0)) {
    throw misuse("--pointer and --header belong to --json, which is missing");
  }
}

function lifetimesFrom(values: { revalidate?: string; expire?: string; route: readonly string[] }): GivenLifetimes {
  const { revalidate, expire, route } = values;
  const all: Lifetime = {
    ...(revalidate === undefined ? {} : { revalidate: parseRevalidate(revalidate, "--revalidate") }),
    ...(expire === undefined ? {} : { expire: parseSeconds(expire, "--expire") }),
  };
  return { all: checked(all, "--expire"), byRoute: new Map(route.map(parseRouteLifetime)) };
}

function pointerFrom(text: string): string {
  if (text === "" || text.startsWith("/")) return text;
  throw misuse(`--pointer is "${text}": expected a JSON pointer, such as /data/pages`);
}

function headersFrom(lines: readonly string[]): Record<string, string> {
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    try {
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    } catch {
      // The value may be a secret.
      throw misuse(`--header "${line.slice(0, Math.max(colon, 0))}…" is not one: expected 'Name: value'`);
    }
  }
  return Object.fromEntries(headers);
}

function originFrom(text: string): string {
  const host = /^https?:\/\/[^/?#]+\/?$/i.test(text) ? hostOf(text) : "";
  if (host) return host;
  throw misuse(`--origin is "${text}": expected one such as https://shop.example`);
}

function basePathFrom(text: string | undefined): string | undefined {
  if (text === undefined || text === "" || text === "/") return text && "";
  if (/^\/[^?#]*[^/?#]$/.test(text)) return text;
  throw misuse(`--base-path is "${text}": expected one such as /shop, without a slash at the end`);
}

function outputFrom(text: string): "text" | "json" {
  if (text === "text" || text === "json") return text;
  throw misuse(`--output is "${text}": expected text or json`);
}

function whole(text: string, option: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && Number.isSafeInteger(value)) return value;
  throw misuse(`${option} is "${text}": expected a whole number, 1 or more`);
}
