import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { whoami } from "../src/whoami.js";

interface Case {
  readonly name: string;
  readonly env: NodeJS.ProcessEnv;
  readonly hostname: string;
  readonly ordinal: number | null;
  readonly instance: string;
  readonly source: string;
}

const cases = JSON.parse(readFileSync(new URL("cases/whoami.json", import.meta.url), "utf8")) as Case[];

for (const { name, env, hostname, ordinal, instance, source } of cases) {
  test(`who am I: ${name}`, () => {
    assert.deepEqual(whoami(env, hostname), { ordinal: ordinal ?? undefined, instance, source });
  });
}
