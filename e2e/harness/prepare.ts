// Before the tests: what they need must be there, and the apps are built, so that no test pays for it.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { buildOf, handlerOf } from "./build.ts";
import { DAEMON, OUT } from "./paths.ts";

for (const file of [DAEMON, handlerOf("next16")]) {
  if (existsSync(file)) continue;
  console.error(`e2e: ${file} is missing: run \`make build\`, or \`make e2e\`, which does`);
  process.exit(1);
}
await rm(path.join(OUT, "logs"), { recursive: true, force: true });
const began = performance.now();
const folder = await buildOf("next16");
console.log(`e2e: the app is at ${folder} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
