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

interface DaemonCase {
  readonly name: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly host: string;
  readonly ecs?: object;
  readonly docker?: boolean;
  readonly want: { readonly platform: string; readonly ordinal: number | null; readonly instance: string };
}

const table = new URL("../../daemon/internal/whoami/testdata/whoami/cases.json", import.meta.url);

for (const one of JSON.parse(readFileSync(table, "utf8")) as DaemonCase[]) {
  const skip = one.ecs || one.docker ? "the client asks nobody" : false;
  test(`who am I, as the daemon sees it: ${one.name}`, { skip }, () => {
    const { ordinal, instance } = whoami(one.env ?? {}, one.host);
    assert.deepEqual(
      { ordinal: ordinal ?? null, instance },
      { ordinal: one.want.ordinal, instance: one.want.instance },
    );
  });
}
