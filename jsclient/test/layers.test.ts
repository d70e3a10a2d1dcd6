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
  counters: [],
  deadline: [],
  backoff: [],
  heartbeat: [],
  vouching: [],
  order: ["gen"],
  outbox: [],
  address: ["errors"],
  transport: ["address"],
  config: ["log"],
  shared: ["version"],
  limits: ["gen"],
  applied: ["errors", "gen", "order"],
  following: ["applied", "gen", "order", "vouching"],
  report: ["errors", "log"],
  key: ["gen"],
  lease: ["key"],
  renders: ["gen", "key", "lease", "order"],
  fallback: ["key", "outbox", "lru-cache"],
  "near-cache": ["fallback", "gen", "key", "lru-cache"],
  // Translation: pure.
  "next/values": [],
  serialize: ["gen", "next/values"],
  wire: ["gen", "serialize", "@bufbuild/protobuf", "@bufbuild/protobuf/wire"],
  calls: ["fallback", "gen", "key", "near-cache", "renders", "serialize"],
  "next/space": ["gen", "next/values"],
  "next/lifetime": ["fallback", "next/values"],
  "next/intent": ["next/values"],
  "next/key-path": [],
  "next/implicit-tags": ["next/key-path", "next/values"],
  "next/telling": ["errors", "next/key-path", "next/values"],
  "next/answer": ["gen", "fallback", "next/space", "next/telling", "next/values"],
  "next/build": ["log", "next/telling"],
  "next/build-output": ["next/key-path", "next/telling", "next/values"],
  "next/request-scope": ["renders"],
  // The wire.
  "grpc-transport": ["address", "errors", "gen", "transport", "@grpc/grpc-js"],
  link: ["errors", "gen", "heartbeat", "transport", "wire", "@bufbuild/protobuf"],
  greeting: ["deadline", "errors", "gen", "link", "transport", "@bufbuild/protobuf"],
  delivery: ["errors", "gen", "link", "log", "outbox"],
  dialling: ["address", "errors", "transport"],
  releases: ["errors", "gen", "link", "log", "@bufbuild/protobuf"],
  resume: ["gen", "lease", "releases", "@bufbuild/protobuf"],
  requests: ["errors", "gen", "link", "releases", "transport", "@bufbuild/protobuf"],
  "session-options": ["address", "following", "gen", "lease", "log", "transport", "@bufbuild/protobuf"],
  session: [
    ...["backoff", "deadline", "delivery", "dialling", "errors", "following", "gen", "greeting", "limits", "link"],
    ...["outbox", "releases", "report", "requests", "resume", "session-options", "transport", "@bufbuild/protobuf"],
  ],
  // The handler.
  bodies: ["calls", "errors", "gen", "key", "lease", "session", "wire", "@bufbuild/protobuf"],
  client: [
    ...["bodies", "calls", "counters", "errors", "fallback", "gen", "key", "lease", "log", "near-cache", "outbox"],
    ...["renders", "session"],
  ],
  runtime: [
    ...["address", "client", "config", "fallback", "gen", "grpc-transport", "key", "lease", "log", "near-cache"],
    ...["next/build", "next/build-output", "next/implicit-tags", "next/request-scope", "next/telling", "session"],
    ...["shared", "transport", "version"],
  ],
  handler: [
    ...["calls", "errors", "gen", "key", "next/answer", "next/build-output", "next/implicit-tags", "next/intent"],
    ...["next/lifetime", "next/space", "next/telling", "next/values", "renders", "runtime", "serialize"],
  ],
  "cache-handler": ["handler", "next/values"],
  index: ["counters", "runtime", "session-options", "version"],
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

test("the near cache knows nothing of ours but types", () => {
  const text = readFileSync(join(SRC, "near-cache.ts"), "utf8");
  const imports = [...text.matchAll(/^import (.*) from "\.[^"]*";$/gm)].map((match) => match[1] as string);
  assert.ok(imports.length > 0);
  for (const what of imports) assert.match(what, /^type /);
});
