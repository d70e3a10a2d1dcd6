import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/**
 * Who may import whom, leaves first; a new file needs a line. `gen` and packages are named like files. What is only a
 * type costs nothing at run time, but is a dependency all the same, and is listed too.
 */
const ALLOWED: Record<string, string[]> = {
  // Leaves: no state, no I/O but what their name says.
  version: [],
  errors: [],
  log: [],
  counters: ["errors", "gen"],
  deadline: [],
  backoff: [],
  heartbeat: ["deadline"],
  vouching: [],
  order: ["gen", "@bufbuild/protobuf"],
  outbox: [],
  address: ["errors"],
  transport: ["address"],
  whoami: [],
  config: ["log"],
  shared: ["version"],
  limits: ["gen"],
  applied: ["errors", "gen", "order"],
  following: ["applied", "gen", "order", "vouching"],
  report: ["errors", "log"],
  key: ["gen"],
  lease: ["key"],
  "ended-calls": ["gen", "order"],
  renders: ["ended-calls", "gen", "key", "lease", "order"],
  beginnings: ["following", "gen", "renders"],
  together: ["outbox"],
  fallback: ["key", "outbox", "lru-cache"],
  "near-cache": ["fallback", "gen", "key", "lru-cache"],
  // Translation: pure.
  "next/values": [],
  serialize: ["gen", "next/values"],
  wire: ["gen", "serialize", "@bufbuild/protobuf", "@bufbuild/protobuf/wire"],
  calls: ["fallback", "gen", "key", "near-cache", "renders", "serialize"],
  "next/space": ["gen", "next/values"],
  "next/lifetime": ["fallback", "next/values"],
  "next/key-path": [],
  "next/telling": ["errors", "next/key-path", "next/values", "lru-cache"],
  "next/intent": ["next/telling", "next/values"],
  "next/answer": ["gen", "fallback", "next/space", "next/telling", "next/values"],
  "next/files": [],
  "next/implicit-tags": ["next/files", "next/key-path", "next/values"],
  "next/rewrites": [],
  "next/routing": ["next/files", "next/rewrites"],
  "next/static-routes": ["next/files", "next/key-path"],
  "next/unshared": ["next/files"],
  "next/build": ["log", "next/files", "next/telling"],
  "next/build-output": ["next/key-path", "next/telling", "next/values"],
  "next/use-cache": ["fallback", "gen"],
  "cached-entry": ["gen", "next/use-cache", "serialize"],
  "next/request-scope": ["renders"],
  // The wire.
  "grpc-transport": ["address", "errors", "gen", "transport", "@grpc/grpc-js"],
  jobs: ["errors", "gen", "@bufbuild/protobuf"],
  link: ["deadline", "errors", "gen", "heartbeat", "jobs", "transport", "wire", "@bufbuild/protobuf"],
  greeting: ["deadline", "errors", "gen", "jobs", "link", "transport", "@bufbuild/protobuf"],
  delivery: ["errors", "gen", "link", "log", "outbox"],
  dialling: ["address", "deadline", "errors", "transport"],
  releases: ["errors", "gen", "link", "log", "@bufbuild/protobuf"],
  resume: ["gen", "lease", "releases", "@bufbuild/protobuf"],
  requests: ["errors", "gen", "link", "releases", "transport", "@bufbuild/protobuf"],
  "session-options": ["address", "following", "gen", "jobs", "lease", "log", "transport", "@bufbuild/protobuf"],
  session: [
    ...["backoff", "deadline", "delivery", "dialling", "errors", "following", "gen", "greeting", "limits", "link"],
    ...["outbox", "releases", "report", "requests", "resume", "session-options", "transport", "@bufbuild/protobuf"],
  ],
  // Work for others.
  "own-server": ["deadline", "errors", "shared"],
  regeneration: ["errors", "gen", "jobs", "next/routing", "own-server", "version"],
  // The handler.
  bodies: ["calls", "errors", "gen", "key", "lease", "session", "wire", "@bufbuild/protobuf"],
  client: [
    ...[
      "beginnings",
      "bodies",
      "calls",
      "counters",
      "errors",
      "fallback",
      "gen",
      "key",
      "lease",
      "log",
      "near-cache",
      "outbox",
    ],
    ...["renders", "session", "together"],
  ],
  runtime: [
    ...["address", "beginnings", "client", "config", "fallback", "gen", "grpc-transport", "jobs", "key", "lease"],
    ...["log", "near-cache", "next/build", "next/build-output", "next/implicit-tags", "next/intent"],
    ...[
      "next/request-scope",
      "next/routing",
      "next/static-routes",
      "next/telling",
      "next/unshared",
      "own-server",
      "regeneration",
      "session",
      "shared",
      "transport",
      "version",
      "whoami",
      "lru-cache",
    ],
  ],
  handler: [
    ...["calls", "errors", "gen", "key", "next/answer", "next/build-output", "next/implicit-tags", "next/intent"],
    ...[
      "next/lifetime",
      "next/space",
      "next/telling",
      "next/values",
      "next/request-scope",
      "regeneration",
      "renders",
      "runtime",
      "serialize",
    ],
  ],
  "cache-handler": ["handler", "next/values"],
  "use-cache": [
    ...["cached-entry", "calls", "deadline", "errors", "gen", "key", "next/answer", "next/lifetime"],
    ...["next/use-cache", "order", "renders", "runtime"],
  ],
  "cache-handlers": ["next/use-cache", "use-cache"],
  boot: ["next/build", "own-server", "runtime"],
  register: ["boot"],
  "revalidation-client": [
    ...["address", "config", "dialling", "errors", "gen", "grpc-transport", "log", "next/build", "runtime"],
    ...["transport", "@bufbuild/protobuf"],
  ],
  revalidation: ["errors", "gen", "next/lifetime", "next/routing", "revalidation-client"],
  index: ["counters", "errors", "revalidation", "runtime", "session-options", "version"],
  // The commands: run by builds, so the handler knows nothing of them. Each is loaded when it is called.
  "cli/failure": [],
  "cli/io": [],
  "cli/inject/paths": [],
  "cli/inject/lifetimes": ["cli/failure"],
  "cli/inject/manifests": ["cli/failure", "errors"],
  "cli/inject/route-table": ["cli/inject/manifests", "cli/inject/paths"],
  "cli/inject/entry": [
    ...["cli/inject/lifetimes", "cli/inject/manifests", "cli/inject/paths", "cli/inject/route-table"],
  ],
  "cli/inject/sources": ["cli/inject/lifetimes"],
  "cli/inject/documents": ["cli/failure", "cli/inject/sources", "errors"],
  "cli/inject/sitemap": ["cli/failure", "cli/inject/documents", "cli/inject/sources", "errors", "sax"],
  "cli/inject/lists": ["cli/failure", "cli/inject/documents", "cli/inject/sources", "cli/io", "errors"],
  "cli/inject/summary": ["cli/inject/paths", "cli/inject/route-table"],
  "cli/inject/plan": [
    ...["cli/inject/entry", "cli/inject/lifetimes", "cli/inject/manifests", "cli/inject/paths"],
    ...["cli/inject/route-table", "cli/inject/sources", "cli/inject/summary"],
  ],
  "cli/inject/files": ["cli/failure", "cli/inject/manifests", "errors"],
  "cli/inject/options": ["cli/failure", "cli/inject/lifetimes", "cli/inject/paths", "cli/inject/sources"],
  "cli/inject/daemon": [
    ...[
      "address",
      "cli/failure",
      "cli/inject/lifetimes",
      "cli/inject/manifests",
      "cli/inject/sources",
      "cli/io",
      "errors",
    ],
    ...["gen", "grpc-transport", "log", "next/build", "@bufbuild/protobuf"],
  ],
  "cli/inject/command": [
    ...[
      "cli/failure",
      "cli/inject/daemon",
      "cli/inject/documents",
      "cli/inject/files",
      "cli/inject/lists",
      "cli/inject/manifests",
    ],
    ...["cli/inject/options", "cli/inject/paths", "cli/inject/plan", "cli/inject/route-table", "cli/inject/sitemap"],
    ...["cli/inject/sources", "cli/inject/summary", "cli/io"],
  ],
  "cli/run": ["cli/failure", "cli/inject/command", "cli/io", "version"],
  "cli/main": ["cli/io", "cli/run"],
};

function sources(): string[] {
  return readdirSync(SRC, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.startsWith("gen"))
    .map((file) => file.replace(/\.ts$/, ""));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, `${file}.ts`), "utf8");
  const targets = [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1] as string);
  const ours = targets
    .filter((target) => !target.startsWith("node:"))
    .map((target) =>
      target.startsWith(".") ? relative(SRC, join(SRC, file, "..", target)).replace(/\.js$/, "") : target,
    )
    .map((target) => (target.startsWith("gen/") ? "gen" : target));
  return [...new Set(ours)].sort();
}

test("every source file has a line in the table of layers, and no line is left over", () => {
  assert.deepEqual(sources().sort(), Object.keys(ALLOWED).sort());
});

for (const file of sources()) {
  test(`${file} imports what its layer may import, and nothing that it does not need is allowed`, () => {
    assert.deepEqual(importsOf(file), [...(ALLOWED[file] ?? [])].sort());
  });
}

test("no circle: every file imports only files above it in the table", () => {
  const order = Object.keys(ALLOWED);
  for (const [index, file] of order.entries()) {
    for (const target of ALLOWED[file] ?? []) {
      const at = order.indexOf(target);
      assert.ok(at < index || at === -1, `${file} imports ${target}, which comes after it`);
    }
  }
});

test("only the commands know the commands, and what only they need", () => {
  for (const [file, targets] of Object.entries(ALLOWED)) {
    if (file.startsWith("cli/")) continue;
    for (const target of targets)
      assert.ok(!target.startsWith("cli/") && target !== "sax", `${file} imports ${target}`);
  }
});

test("a process that registers loads nothing more until it is found to be a server of Next.js", () => {
  const text = readFileSync(join(SRC, "boot.ts"), "utf8");
  const imports = [...text.matchAll(/^import .* from "(\.[^"]*)";$/gm)].map((match) => match[1] as string);
  assert.deepEqual(imports, ["./own-server.js"]);
});

test("the near cache knows nothing of ours but types", () => {
  const text = readFileSync(join(SRC, "near-cache.ts"), "utf8");
  const imports = [...text.matchAll(/^import (.*) from "\.[^"]*";$/gm)].map((match) => match[1] as string);
  assert.ok(imports.length > 0);
  for (const what of imports) assert.match(what, /^type /);
});
