// Before the tests: what they need must be there, and the apps are built, so that no test pays for it: all of the version,
// or those that are named.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { appsOf, buildOf } from "./build.ts";
import { prepareGrpcurl } from "./grpcurl.ts";
import { handlerFile, VERSION } from "./next.ts";
import { DAEMON, OUT, ROOT } from "./paths.ts";

for (const file of [DAEMON, handlerFile()]) {
  if (existsSync(file)) continue;
  console.error(`e2e: ${file} is missing: run \`make build\`, or \`make e2e\`, which does`);
  process.exit(1);
}
await rm(path.join(OUT, "logs", VERSION), { recursive: true, force: true });
console.log("e2e: building the apps and grpcurl, if that was not done before");
await prepareGrpcurl();
const named = process.argv.slice(2);
for (const app of appsOf(VERSION).filter((app) => named.length === 0 || named.includes(app))) {
  const folder = await buildOf(app);
  console.log(`e2e: the app ${app} is in ${path.relative(ROOT, folder)}`);
}
