import { createRequire } from "node:module";
import { isMainThread } from "node:worker_threads";
import { processServer } from "./own-server.js";

/** The modules of Next.js that start a server: `next start`, a standalone build, a server of one's own. */
const NEXT_SERVER = /[\\/]next[\\/]dist[\\/]server[\\/](?:next|next-server|lib[\\/]start-server)\.js$/;

const BUILD_PHASE = "phase-production-build";

/**
 * Connects this process to its daemon as soon as its Next.js server listens, before anybody has asked it for a page. In
 * every other process, and there are many with the same NODE_OPTIONS, it does nothing, and loads next to nothing.
 */
export function boot(): void {
  if (!isMainThread || isOff(process.env)) return;
  const server = processServer();
  let booted = false;
  const look = (): void => {
    if (booted || isOff(process.env) || !isNextLoaded()) return;
    booted = true;
    connect().catch((error: unknown) => process.emitWarning(`isrd: not connected at boot: ${String(error)}`));
  };
  server.observe(look);
  if (server.known) look();
}

function isOff(env: NodeJS.ProcessEnv): boolean {
  const mode = env["NODE_ENV"];
  return (
    env["NEXT_PHASE"] === BUILD_PHASE ||
    env["NEXT_RUNTIME"] === "edge" ||
    env["JEST_WORKER_ID"] !== undefined ||
    mode === "development" ||
    mode === "test"
  );
}

function isNextLoaded(): boolean {
  const { cache } = createRequire(import.meta.url);
  return Object.keys(cache).some((file) => NEXT_SERVER.test(file));
}

async function connect(): Promise<void> {
  const { guessServerDistDir } = await import("./next/build.js");
  // Without a build there is nothing to say who this is; the handler will know.
  if (guessServerDistDir(process.env, process.argv, process.cwd()) === undefined) return;
  const { guessedRuntime } = await import("./runtime.js");
  guessedRuntime().session.connect();
}
