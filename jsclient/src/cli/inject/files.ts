import { existsSync } from "node:fs";
import { open, readdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { messageOf } from "../../errors.js";
import { Failure } from "../failure.js";
import { PRERENDER_MANIFEST, type PrerenderedRoute, type PrerenderManifest, parsePrerender } from "./manifests.js";

const BACKUP = ".isrd-backup";

/** How deep a project lies in its standalone output: `standalone/apps/shop/.next`. */
const MAX_STANDALONE_DEPTH = 6;

/** How merging entries into a manifest has turned out. */
export interface Merged {
  readonly added: number;
  readonly changed: number;
  readonly unchanged: number;
}

/** One prerender manifest on disk, with what is known of its origin. */
export class ManifestFile {
  readonly file: string;
  /** As the build has left it. */
  readonly original: PrerenderManifest;
  readonly #text: string;
  readonly #current: PrerenderManifest;
  /** The backup is missing, or is that of another build. */
  readonly #backUp: boolean;
  #merged: PrerenderManifest | undefined;

  private constructor(file: string, text: string, backup: string | undefined) {
    this.file = file;
    this.#text = text;
    this.#current = parsePrerender(text, file);
    const saved = backup === undefined ? undefined : parsePrerender(backup, file + BACKUP);
    this.#backUp = !saved || !isOriginOf(saved, this.#current);
    this.original = !saved || this.#backUp ? this.#current : saved;
  }

  static async open(file: string): Promise<ManifestFile> {
    const real = await realpath(file);
    const backup = existsSync(real + BACKUP) ? await read(real + BACKUP) : undefined;
    return new ManifestFile(real, await read(real), backup);
  }

  /** Whether both were left by the same build. */
  isOfSameBuild(other: ManifestFile): boolean {
    const identity = ({ routes: _, ...rest }: PrerenderManifest): string => JSON.stringify(rest);
    return identity(this.original) === identity(other.original);
  }

  /** Adds entries. What the build has written itself stays as it is. Nothing is written before `save`. */
  merge(entries: ReadonlyMap<string, PrerenderedRoute>): Merged {
    const routes: Record<string, PrerenderedRoute> = { ...this.#current.routes };
    let [added, changed, unchanged] = [0, 0, 0];
    for (const [name, entry] of entries) {
      const there = Object.hasOwn(routes, name) ? routes[name] : undefined;
      if (there && Object.hasOwn(this.original.routes, name)) continue;
      if (!there) added += 1;
      else if (JSON.stringify(there) === JSON.stringify(entry)) unchanged += 1;
      else changed += 1;
      routes[name] = entry;
    }
    this.#merged = added + changed > 0 ? { ...this.#current, routes } : undefined;
    return { added, changed, unchanged };
  }

  /** Writes what `merge` has changed, and before it the backup. False: it has changed nothing, and nothing is written. */
  async save(): Promise<boolean> {
    if (!this.#merged) return false;
    if (this.#backUp) await replace(this.file + BACKUP, this.#text, this.file);
    const isCompact = JSON.stringify(this.#current) === this.#text;
    await replace(this.file, JSON.stringify(this.#merged, null, isCompact ? 0 : 2), this.file);
    return true;
  }

  /** Brings back what the build has written. */
  async restore(): Promise<void> {
    if (!existsSync(this.file + BACKUP))
      throw new Failure(`${this.file} has no backup: nothing was injected since its build`);
    if (this.#backUp) {
      throw new Failure(
        `${this.file + BACKUP} is of another build than ${this.file}: remove it, and build again if in doubt`,
      );
    }
    await replace(this.file, await read(this.file + BACKUP), this.file);
    await rm(this.file + BACKUP);
  }
}

/** The manifests of the copies of an output that `output: "standalone"` has made of it. */
export function standaloneManifests(folder: string): Promise<string[]> {
  const root = path.join(folder, "standalone");
  return existsSync(root) ? manifestsBelow(root, path.basename(folder), MAX_STANDALONE_DEPTH) : Promise.resolve([]);
}

async function manifestsBelow(folder: string, output: string, depth: number): Promise<string[]> {
  const own = path.join(folder, output, PRERENDER_MANIFEST);
  if (existsSync(own)) return [own];
  if (depth === 0) return [];
  const entries = await readdir(folder, { withFileTypes: true });
  const below = entries.filter((entry) => entry.isDirectory() && entry.name !== "node_modules");
  const found = await Promise.all(below.map(({ name }) => manifestsBelow(path.join(folder, name), output, depth - 1)));
  return found.flat();
}

/** Whether a manifest is that one and what was added to its routes. */
function isOriginOf(saved: PrerenderManifest, current: PrerenderManifest): boolean {
  const { routes: savedRoutes, ...saves } = saved;
  const { routes, ...rest } = current;
  if (JSON.stringify(saves) !== JSON.stringify(rest)) return false;
  return Object.entries(savedRoutes).every(([name, entry]) => JSON.stringify(entry) === JSON.stringify(routes[name]));
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Failure(`${file} cannot be read: ${messageOf(error)}`);
  }
}

/** Whoever opens the file has the old text or the new one, never a part. It gets the permissions of `like`. */
async function replace(file: string, text: string, like: string): Promise<void> {
  const draft = `${file}.isrd-${process.pid}`;
  try {
    const { mode } = await stat(like);
    const handle = await open(draft, "w", mode);
    try {
      await handle.chmod(mode); // the umask may have taken some away
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw new Failure(`${file} cannot be written: ${messageOf(error)}`);
  }
}
