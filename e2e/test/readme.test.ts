// What the README tells a newcomer to write is what these tests run on.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const root = new URL("../../", import.meta.url);
const read = (path: string): Promise<string> => readFile(new URL(path, root), "utf8");

/** As it is, but for the quotes and the semicolon that the formatter wants. */
function plain(code: string): string {
  return code.replaceAll("'", '"').replaceAll(";", "").trim();
}

test("the app of these tests is configured by the README's lines", async () => {
  const told = /<!-- two-lines.*?```js\n(.*?)```/s.exec(await read("README.md"))?.[1];
  assert.ok(told, "README.md has no block after its two-lines mark");
  assert.equal(plain(await read("e2e/apps/plain/next.config.js")), plain(told));
});

test("README and package name every variable that the client reads, and no other", async () => {
  const sources = await Promise.all(["config", "address", "whoami"].map((name) => `jsclient/src/${name}.ts`).map(read));
  const known = new Set(sources.join("\n").match(/\bISRD_[A-Z_]+\b/g));
  for (const page of ["README.md", "jsclient/README.md"]) {
    const rows = [...(await read(page)).matchAll(/^\| `(ISRD_[A-Z_]+)` \|/gm)].map((row) => row[1]);
    assert.deepEqual([...rows].sort(), [...known].sort(), page);
  }
});
