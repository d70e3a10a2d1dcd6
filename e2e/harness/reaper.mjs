// Ends what a test process left behind because it was killed before it could: it reads which process groups and folders
// there are from its standard input, and when that ends, so do they. Runs in its own group, so that Ctrl-C spares it.
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";

const groups = new Set();
const folders = new Set();

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [verb, argument] = line.split("\t", 2);
  if (verb === "group") groups.add(Number(argument));
  else if (verb === "group-ended") groups.delete(Number(argument));
  else if (verb === "folder") folders.add(argument);
  else if (verb === "folder-removed") folders.delete(argument);
});
lines.on("close", () => {
  for (const group of groups) {
    try {
      process.kill(-group, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});
