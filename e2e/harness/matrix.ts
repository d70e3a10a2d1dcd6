import type { Version } from "./next.ts";

/** What became of a test, as reporter.mjs writes it. */
export interface Outcome {
  readonly file: string;
  /** Its suites and its own name, outermost first. */
  readonly names: readonly string[];
  readonly state: "ok" | "FAIL" | "skip";
  /** Why it was skipped, or how it failed. */
  readonly reason: string;
}

const COLUMN = 8;

/**
 * Behaviours down, versions across: ok, FAIL, – where it was skipped (with a note of the reason) and a blank where the
 * test did not run, as in a run of a part.
 */
export function matrixOf(runs: ReadonlyMap<Version, readonly Outcome[]>): string {
  const notes = new Notes();
  const rows = new Map<string, Map<Version, string>>();
  for (const [version, outcomes] of runs) {
    for (const outcome of expand(outcomes, runs)) {
      const row = rows.get(nameOf(outcome)) ?? new Map<Version, string>();
      rows.set(nameOf(outcome), row.set(version, worse(row.get(version), cellOf(outcome, notes))));
    }
  }
  const versions = [...runs.keys()];
  const lines = [line(versions, "")];
  let group = "";
  for (const name of [...rows.keys()].sort(byFile)) {
    const [file = "", ...rest] = name.split("\t");
    if (file !== group) lines.push(file);
    group = file;
    const cells = versions.map((version) => rows.get(name)?.get(version) ?? "");
    lines.push(line(cells, rest.join(" › ")));
  }
  return [...lines, ...notes.lines].join("\n");
}

/** A line for each test that failed, with how. */
export function failuresOf(version: Version, outcomes: readonly Outcome[]): string[] {
  const failed = outcomes.filter(({ state }) => state === "FAIL");
  return failed.map((outcome) => `FAIL ${version} ${nameOf(outcome).replaceAll("\t", " › ")}: ${outcome.reason}`);
}

/** Reasons by number: where many tests are skipped for the same one it is said once. */
class Notes {
  readonly #reasons: string[] = [];

  numberOf(reason: string): number {
    if (!this.#reasons.includes(reason)) this.#reasons.push(reason);
    return this.#reasons.indexOf(reason) + 1;
  }

  get lines(): string[] {
    return this.#reasons.map((reason, index) => `  –${index + 1}  ${reason}`);
  }
}

function cellOf({ state, reason }: Outcome, notes: Notes): string {
  if (state !== "skip") return state;
  return reason === "" ? "–" : `–${notes.numberOf(reason)}`;
}

/** Two tests of the same name are one behaviour, which has to be right in both. */
function worse(one: string | undefined, other: string): string {
  return one === "FAIL" || one === undefined || other === "FAIL" ? (one === "FAIL" ? one : other) : one;
}

/** Of a suite that was skipped there is no more than its name: what it is made of is known from the other versions. */
function expand(outcomes: readonly Outcome[], runs: ReadonlyMap<Version, readonly Outcome[]>): Outcome[] {
  const all = [...runs.values()].flat();
  return outcomes.flatMap((outcome) => {
    if (outcome.state !== "skip") return [outcome];
    const within = all.filter(({ file, names }) => file === outcome.file && isInside(names, outcome.names));
    return within.length === 0 ? [outcome] : within.map(({ names }) => ({ ...outcome, names }));
  });
}

function isInside(names: readonly string[], suite: readonly string[]): boolean {
  return names.length > suite.length && suite.every((name, index) => names[index] === name);
}

function nameOf({ file, names }: Outcome): string {
  return [file.replace(".test.ts", ""), ...names].join("\t");
}

function byFile(one: string, other: string): number {
  const [a = "", b = ""] = [one, other].map((name) => name.split("\t", 1)[0]);
  return a < b ? -1 : a > b ? 1 : 0;
}

function line(cells: readonly string[], name: string): string {
  return `  ${cells.map((cell) => cell.padEnd(COLUMN)).join("")}${name}`.trimEnd();
}
