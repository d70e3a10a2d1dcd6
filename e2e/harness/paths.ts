import path from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** What the tests make and keep: builds, and the logs of the last run. */
export const OUT = path.join(ROOT, "out", "e2e");

/** The daemon, as `make build` leaves it. */
export const DAEMON = path.join(ROOT, "bin", "isrd");

/** The apps, a folder each. */
export const APPS = path.join(ROOT, "e2e", "apps");
