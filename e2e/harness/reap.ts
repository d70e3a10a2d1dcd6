// Nothing outlives its test process: however that ends, the groups and folders that it names here go with it.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const groups = new Set<number>();
const folders = new Set<string>();
let reaper: ChildProcess | undefined;

process.on("exit", () => {
  for (const group of groups) signalGroup(group, "SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.on(signal, () => process.exit(code));
}

/** From now on the process group ends with this process. */
export function keepGroup(pid: number): void {
  groups.add(pid);
  tell("group", String(pid));
}

/** The process group has ended. */
export function dropGroup(pid: number): void {
  groups.delete(pid);
  tell("group-ended", String(pid));
}

/** Sends a signal to a whole process group; does nothing if it has gone. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A new folder for sockets and small files, with a short path. Removed by {@link removeFolder}, or with this process. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "isrd-e2e-"));
  keepFolder(folder);
  return folder;
}

/** Makes a folder that goes with this process, if not by {@link removeFolder}. */
export async function makeFolder(folder: string): Promise<void> {
  keepFolder(folder);
  await mkdir(folder, { recursive: true });
}

/** Removes a folder with all that is in it. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  folders.delete(folder);
  tell("folder-removed", folder);
}

function keepFolder(folder: string): void {
  folders.add(folder);
  tell("folder", folder);
}

function tell(verb: string, argument: string): void {
  if (!reaper) {
    const script = fileURLToPath(new URL("reaper.mjs", import.meta.url));
    reaper = spawn(process.execPath, [script], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
    reaper.unref();
    // It reads until this process is gone; it must not keep it alive.
    (reaper.stdin as unknown as { unref(): void }).unref();
  }
  reaper.stdin?.write(`${verb}\t${argument}\n`);
}
