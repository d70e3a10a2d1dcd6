import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** How a child process ended. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly ms: number;
}

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

/** A child process: a promise of its end. */
export interface Running extends Promise<Ended> {
  signal(name: NodeJS.Signals): void;
}

/** Runs a script of ES module code in a process of its own, in this package's directory. Killed after a while. */
export function runScript(script: string, env: NodeJS.ProcessEnv = {}, limitMs = 15_000): Running {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    cwd: PACKAGE,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, output, ms: performance.now() - startedAt });
    });
  });
  return Object.assign(ended, { signal: (name: NodeJS.Signals) => void child.kill(name) });
}
