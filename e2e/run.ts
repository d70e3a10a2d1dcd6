// Runs the tests on the versions of Next.js, one after the other, and says at the end what each behaviour came to on each.
//
//   node --import tsx run.ts [--part] [version...]     --part: what `make test` has time for
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { failuresOf, matrixOf, type Outcome } from "./harness/matrix.ts";
import { VERSIONS, type Version } from "./harness/next.ts";
import { OUT, ROOT } from "./harness/paths.ts";

const FOLDER = path.join(ROOT, "e2e");
const TEST_TIMEOUT_MS = 600_000;

/** A run that hangs, for whatever reason, ends with what it has. */
const RUN_TIMEOUT_MS = 40 * 60_000;

/**
 * In `make test` the older versions have the files that depend on Next.js most, and the newest has all but what takes builds
 * or long runs of its own; with one topology, that of a fleet: the embedded store passes the same contract in Go.
 */
const PART = ["one-render", "restart", "revalidation", "seeds", "sharing"];
const PART_APP = "plain";
const PART_TOPOLOGY = "redis";
const NOT_IN_PART = ["bundlers", "configurations", "inject-routes", "isolation"];

/** The totals of node:test: readers and CI look for them at the end, and only there. */
const SUMMARY = /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /;

interface Run {
  readonly outcomes: readonly Outcome[];
  readonly summary: readonly string[];
  readonly failed: boolean;
}

function isNewest(version: Version): boolean {
  return version === VERSIONS.at(-1);
}

function filesFor(version: Version, part: boolean): string[] {
  const all = readdirSync(path.join(FOLDER, "test")).filter((name) => name.endsWith(".test.ts"));
  const wanted = (name: string): boolean => (isNewest(version) ? !NOT_IN_PART.includes(name) : PART.includes(name));
  return all.filter((file) => !part || wanted(file.replace(".test.ts", ""))).map((file) => path.join("test", file));
}

async function runOn(version: Version, part: boolean, print: (line: string) => void): Promise<Run> {
  print(`\n=== e2e on ${version}`);
  const core = part && !isNewest(version);
  const env = { E2E_NEXT: version, ...(part ? { E2E_TOPOLOGY: PART_TOPOLOGY } : { E2E_LONG: "1" }) };
  const report = path.join(OUT, `${version}.ndjson`);
  await mkdir(OUT, { recursive: true });
  await rm(report, { force: true });
  const node = ["--import", "tsx"];
  if (!(await succeeds(env, [...node, "harness/prepare.ts", ...(core ? [PART_APP] : [])], print))) {
    return { outcomes: [], summary: ["the apps could not be built"], failed: true };
  }
  const summary: string[] = [];
  const say = (line: string): void => {
    if (SUMMARY.test(line)) summary.push(line);
    else print(line);
  };
  const reporters = [
    ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
    ...["--test-reporter=./harness/reporter.mjs", `--test-reporter-destination=${report}`],
  ];
  const how = ["--test", "--test-concurrency=1", `--test-timeout=${TEST_TIMEOUT_MS}`];
  const failed = !(await succeeds(env, [...node, ...how, ...reporters, ...filesFor(version, part)], say));
  const lines = (await readFile(report, "utf8").catch(() => "")).split("\n").filter(Boolean);
  return { outcomes: lines.map((line) => JSON.parse(line) as Outcome), summary, failed };
}

/** Runs `node`, and hands on what it says line by line. */
async function succeeds(
  env: NodeJS.ProcessEnv,
  args: readonly string[],
  say: (line: string) => void,
): Promise<boolean> {
  const child = spawn(process.execPath, args, {
    cwd: FOLDER,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const timer = setTimeout(() => child.kill("SIGTERM"), RUN_TIMEOUT_MS);
  const stop = (): void => void child.kill("SIGTERM");
  process.once("SIGINT", stop).once("SIGTERM", stop);
  createInterface({ input: child.stdout }).on("line", say);
  const [code] = await once(child, "close");
  clearTimeout(timer);
  process.off("SIGINT", stop).off("SIGTERM", stop);
  return code === 0;
}

const given = process.argv.slice(2);
const part = given.includes("--part");
const named = VERSIONS.filter((version) => given.includes(version));
const wanted = named.length > 0 ? named : VERSIONS;
const runs = new Map<Version, Run>();

/** Runs of little work and much waiting, side by side; each says what it has to say when it is over. */
async function runTogether(versions: readonly Version[]): Promise<void> {
  const run = async (version: Version): Promise<void> => {
    const lines: string[] = [];
    runs.set(version, await runOn(version, part, (line) => lines.push(line)));
    console.log(lines.join("\n"));
  };
  await Promise.all(versions.map(run));
}

const together = part ? wanted.filter((version) => !isNewest(version)) : [];
await runTogether(together);
for (const version of wanted.filter((version) => !together.includes(version))) {
  runs.set(version, await runOn(version, part, console.log));
}
const inOrder = VERSIONS.flatMap((version) => {
  const run = runs.get(version);
  return run ? [{ version, ...run }] : [];
});

console.log("\n=== e2e: ok, FAIL, – skipped (reasons below), nothing where it did not run");
console.log(matrixOf(new Map(inOrder.map(({ version, outcomes }) => [version, outcomes]))));
for (const { version, outcomes, summary, failed } of inOrder) {
  console.log(`\n${version}: ${failed ? "FAILED" : "ok"}`);
  for (const line of failuresOf(version, outcomes)) console.log(line);
  for (const line of summary) console.log(line);
}
process.exitCode = inOrder.some(({ failed }) => failed) ? 1 : 0;
