import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ROOT } from "./paths.ts";

const run = promisify(execFile);

const CALL_TIMEOUT_MS = 30_000;

/** It has many dependencies, and is compiled once for a machine. */
const COMPILE_TIMEOUT_MS = 300_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Calls a daemon by `grpcurl`, as an operator would: it knows nothing of the contract but what reflection tells it. */
export function grpcurl(socket: string, options: readonly string[], ...call: string[]): Promise<string> {
  return tool(["-plaintext", "-unix", "-max-time", "20", ...options, socket, ...call], CALL_TIMEOUT_MS);
}

/** Compiles it, if that was never done here, so that no call pays for it. */
export async function prepareGrpcurl(): Promise<void> {
  await tool(["-version"], COMPILE_TIMEOUT_MS);
}

async function tool(args: readonly string[], timeout: number): Promise<string> {
  const command = ["tool", "-modfile=tools/go.mod", "grpcurl", ...args];
  return (await run("go", command, { cwd: ROOT, timeout, maxBuffer: MAX_OUTPUT_BYTES })).stdout;
}
