// The demo: the same shop under the same traffic, first on Next.js's own cache, then on isrd. See --help.
import { main } from "./main.mjs";

process.exitCode = await main(process.argv.slice(2), process.stdout, process.stderr);
