import type { PathRefusal } from "./paths.js";
import type { RouteRefusal } from "./route-table.js";

/** Why a URL is not in the manifest afterwards. */
export type Refusal = PathRefusal | RouteRefusal | "not-found" | "lifetime";

/** Each as it is told to people. */
const REASONS: Readonly<Record<Refusal, string>> = {
  "no-path": "neither a path nor an http URL",
  query: "with a query or a hash, which no cache key has",
  encoding: "with bad percent-encoding, a control character or a backslash",
  traversal: "with an empty, . or .. segment",
  origin: "of another origin (--origin names this app's)",
  "base-path": "outside of the base path (--base-path)",
  reserved: "below /_next",
  "no-route": "no route with parameters matches",
  static: "a static route, which the build has rendered",
  dynamic: "the route has no entries in the cache: it is rendered for each request, or once for all paths",
  closed:
    "the route knows only what the build has rendered (fallback: false, dynamicParams = false); the rest is a 404",
  ppr: "the route is prerendered in part (PPR)",
  unclear: "the manifests do not say which router the route belongs to",
  "no-locale": "with a locale, for a route that knows none",
  "not-found": "not found when the build rendered it (notFoundRoutes)",
  lifetime: "of unknown lifetime (--revalidate, --route)",
};

const MAX_EXAMPLES = 3;
const MAX_EXAMPLE_CHARACTERS = 120;

/** How often something was refused, with some of what it was. */
export interface Refused {
  readonly reason: Refusal;
  readonly count: number;
  readonly examples: readonly string[];
}

/** What a run has done, or would do. */
export interface Summary {
  /** Whether files were written. */
  readonly written: boolean;
  readonly dryRun: boolean;
  /** Paths that were not in the manifest. */
  readonly added: number;
  /** Paths of an earlier run, whose lifetime is another now. */
  readonly changed: number;
  /** Paths of an earlier run. */
  readonly unchanged: number;
  /** Paths that the build has rendered; they stay as they are. */
  readonly prerendered: number;
  readonly refused: readonly Refused[];
  /** The manifests. */
  readonly files: readonly string[];
}

/** Counts refusals, and keeps a few examples of each kind. */
export class Refusals {
  readonly #byReason = new Map<Refusal, { count: number; examples: string[] }>();

  add(reason: Refusal, text: string): void {
    const known = this.#byReason.get(reason) ?? { count: 0, examples: [] };
    known.count += 1;
    if (known.examples.length < MAX_EXAMPLES) known.examples.push(printable(text));
    this.#byReason.set(reason, known);
  }

  get list(): Refused[] {
    return [...this.#byReason]
      .map(([reason, { count, examples }]) => ({ reason, count, examples }))
      .sort((a, b) => b.count - a.count);
  }
}

/** The summary for people. */
export function describe(summary: Summary): string[] {
  const { added, changed, unchanged, prerendered, refused, dryRun, written, files } = summary;
  const lines = [
    `${dryRun ? "would add" : "added"} ${added}, ${dryRun ? "would change" : "changed"} ${changed}`,
    `already there ${unchanged + prerendered} (${prerendered} prerendered by the build)`,
  ];
  for (const { reason, count, examples } of refused) {
    lines.push(`refused ${count}: ${REASONS[reason]}: ${examples.join(", ")}${count > examples.length ? ", …" : ""}`);
  }
  if (dryRun) lines.push("nothing was written (--dry-run)");
  else if (written) lines.push(...files.map((file) => `written: ${file}`));
  else lines.push("nothing was written: there is nothing new");
  return lines;
}

/** On one line, and without what a terminal would obey. */
function printable(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cs}]/gu, "\ufffd");
  return line.length > MAX_EXAMPLE_CHARACTERS ? `${line.slice(0, MAX_EXAMPLE_CHARACTERS)}…` : line;
}
