import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import type { PrerenderManifest } from "../../src/cli/inject/manifests.js";
import { run } from "../../src/cli/run.js";

/** What real builds have left, made smaller: the manifests, a few routes of each kind, no secrets. */
export type Fixture = "next14" | "next15" | "next16" | "next14-i18n" | "next15-i18n" | "next16-i18n" | "next16-ppr";

export const VERSIONS = ["next14", "next15", "next16"] as const;

export interface Project {
  readonly folder: string;
  readonly manifestFile: string;
  manifest(): PrerenderManifest;
}

/** A folder with the output of a build. */
export function project(t: TestContext, fixture: Fixture): Project {
  const folder = temporaryFolder(t);
  writeOutput(path.join(folder, ".next"), fixture);
  const manifestFile = path.join(folder, ".next", "prerender-manifest.json");
  return { folder, manifestFile, manifest: () => JSON.parse(readFileSync(manifestFile, "utf8")) };
}

export function writeOutput(folder: string, fixture: Fixture): void {
  const files: Record<string, unknown> = JSON.parse(
    readFileSync(new URL(`./fixtures/${fixture}.json`, import.meta.url), "utf8"),
  );
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  }
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), "isrd-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line as the process would, in a folder. */
export async function isrd(
  args: readonly string[],
  { cwd = tmpdir(), env = {}, stdin = "" }: { cwd?: string; env?: NodeJS.ProcessEnv; stdin?: string } = {},
): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  async function* input(): AsyncGenerator<string> {
    yield await Promise.resolve(stdin);
  }
  const io = { cwd, env, stdin: input(), out: (line: string) => out.push(line), err: (line: string) => err.push(line) };
  const code = await run(args, { ...io, out: (line) => void io.out(line), err: (line) => void io.err(line) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

/** Injects paths, given as on standard input. */
export function inject(to: Project, paths: readonly string[], ...more: string[]): Promise<Outcome> {
  return isrd(["inject-routes", "--list", "-", ...more], { cwd: to.folder, stdin: paths.join("\n") });
}

/** The summary of a run with `--output json`. */
export function summaryOf({ out }: Outcome) {
  return JSON.parse(out) as {
    added: number;
    changed: number;
    unchanged: number;
    prerendered: number;
    written: boolean;
    refused: { reason: string; count: number; examples: string[] }[];
    files: string[];
  };
}

/** Refusals by reason. */
export function refusalsOf(outcome: Outcome): Record<string, string[]> {
  return Object.fromEntries(summaryOf(outcome).refused.map(({ reason, examples }) => [reason, examples]));
}

/** An HTTP server for one test; returns its origin. */
export async function serve(t: TestContext, handle: http.RequestListener): Promise<string> {
  const server = http.createServer(handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
