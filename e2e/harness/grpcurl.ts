import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ROOT } from "./paths.ts";

const run = promisify(execFile);

/** The first call compiles it. */
const COMPILE_TIMEOUT_MS = 170_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Calls a daemon by `grpcurl`, as an operator would: it knows nothing of the contract but what reflection tells it. */
export async function grpcurl(socket: string, options: readonly string[], ...call: string[]): Promise<string> {
  const command = ["tool", "-modfile=tools/go.mod", "grpcurl", "-plaintext", "-unix", "-max-time", "20"];
  const { stdout } = await run("go", [...command, ...options, socket, ...call], {
    cwd: ROOT,
    timeout: COMPILE_TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  return stdout;
}
