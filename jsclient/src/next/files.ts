import { readFileSync } from "node:fs";

/** The text of a file of the build; undefined if it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(/* turbopackIgnore: true */ path, "utf8");
  } catch {
    return undefined;
  }
}

/** What a file of the build has; undefined if it is not there or no JSON. */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readText(path) ?? "null");
  } catch {
    return undefined;
  }
}
