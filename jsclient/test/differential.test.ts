// The same calls to isrd and to the handler that Next.js comes with, at random, on one clock: through Next.js's own cache,
// which is what judges their answers.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import fs from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Handler } from "../src/handler.js";
import type { LoadNext } from "../src/next/telling.js";
import type { HostContext, HostValue } from "../src/next/values.js";
import { movableClock } from "./support/clock.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { startHost } from "./support/host.js";
import { dialMemory } from "./support/memory-transport.js";
import { appPage, fetched, pagesPage, RandomValues, route } from "./support/values.js";

const STEPS = 200;
const SEEDS = [1, 2, 3, 4];

type Kind = "pages" | "app" | "route" | "fetch" | "none";

/** What Next.js makes of an answer. */
interface Found {
  readonly isStale?: boolean | -1;
  readonly value: HostValue | null;
  readonly cacheControl?: { revalidate: number | false };
  readonly curRevalidate?: number | false;
}

interface NextCache {
  get(key: string, ctx: object): Promise<Found | null>;
  set(key: string, value: unknown, ctx: object): Promise<void>;
  revalidateTag(tags: string[], durations?: { expire: number }): Promise<void>;
}

interface Version {
  readonly name: string;
  readonly load: LoadNext;
  /** It knows profiles: tags that are stale now and expire later. */
  readonly profiles: boolean;
  /** It has one kind for pages of both routers, and says `kindHint`. */
  readonly old: boolean;
}

function versionOf(name: string): Version {
  const load = createRequire(new URL(`../../versions/${name}/package.json`, import.meta.url));
  return { name, load, profiles: name === "next16", old: name === "next14" };
}

const PREVIEW = { previewModeId: "", previewModeSigningKey: "", previewModeEncryptionKey: "" };
const MANIFEST = { version: 4, routes: {}, dynamicRoutes: {}, notFoundRoutes: [], preview: PREVIEW };

/** Next.js's cache as a server makes one for each request, with a handler or with its own. */
function cacheFor({ load }: Version, serverDistDir: string, CurCacheHandler: unknown): NextCache {
  const { IncrementalCache } = load("next/dist/server/lib/incremental-cache/index.js") as {
    IncrementalCache: new (options: object) => NextCache;
  };
  return new IncrementalCache({
    ...{ dev: false, minimalMode: false, flushToDisk: false, maxMemoryCacheSize: 50_000_000, requestHeaders: {} },
    ...{ fs: { existsSync, readFileSync, ...fs }, serverDistDir, fetchCacheKeyPrefix: "", CurCacheHandler },
    ...{ prerenderManifest: MANIFEST, getPrerenderManifest: () => MANIFEST, previewProps: PREVIEW },
    ...{ appDir: true, pagesDir: true, experimental: {}, allowedRevalidateHeaderKeys: [] },
  });
}

/** One of the two, with a prefix of its own for keys and tags: Next.js has one table of each for the whole process. */
interface Side {
  readonly prefix: string;
  readonly begin: () => NextCache;
}

function sidesOf(t: TestContext, version: Version, seed: number): readonly [theirs: Side, ours: Side] {
  const folder = mkdtempSync(join(tmpdir(), "isrd-differential-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const dist = join(folder, ".next", "server");
  mkdirSync(dist, { recursive: true });
  const daemon = new FakeDaemon();
  daemon.welcome = { waitLimitMs: 1 };
  const env = { ISRD_NEAR_CACHE_BYTES: "0", ISRD_TIMEOUT_MS: "5000" };
  const host = startHost({ dial: dialMemory(daemon).dial, env, load: version.load });
  t.after(() => host.close());
  class Isrd extends Handler {
    constructor(ctx: HostContext) {
      super(ctx, host.runtime);
    }
    resetRequestCache(): void {}
  }
  return [
    { prefix: `n${seed}-`, begin: () => cacheFor(version, dist, undefined) },
    { prefix: `i${seed}-`, begin: () => cacheFor(version, dist, Isrd) },
  ];
}

const KIND_NAMES = { pages: "PAGES", app: "APP_PAGE", route: "APP_ROUTE", none: "PAGES" } as const;

function contextOf(version: Version, side: Side, kind: Kind, tags: readonly string[]): object {
  if (kind === "fetch") {
    const named = tags.map((tag) => side.prefix + tag);
    const what = version.old ? { kindHint: "fetch" } : { kind: "FETCH" };
    return { ...what, tags: named, softTags: [], fetchUrl: "http://x", fetchIdx: 1 };
  }
  if (version.old) return { kindHint: kind === "pages" || kind === "none" ? "pages" : "app" };
  const name = KIND_NAMES[kind];
  return { kind: name, isFallback: false, isRoutePPREnabled: false, route: { kind: name, sourceRoute: "/x/[id]" } };
}

function rendered(version: Version, side: Side, kind: Kind, text: string, tags: readonly string[]): unknown {
  const named = tags.map((tag) => side.prefix + tag);
  const headers = named.length > 0 ? { "x-next-cache-tags": named.join(",") } : {};
  switch (kind) {
    case "none":
      return null;
    case "fetch":
      return fetched(text, named, 60);
    case "pages":
      if (version.old) return { kind: "PAGE", html: text, pageData: {}, headers: {}, status: undefined };
      return pagesPage(text);
    case "app":
      if (version.old) return { kind: "PAGE", html: text, pageData: text, headers, status: 200 };
      return { ...appPage(text), headers };
    default:
      return { ...route(text), kind: version.old ? "ROUTE" : "APP_ROUTE", headers };
  }
}

function textOf(value: HostValue | null): string {
  if (value === null) return "none";
  if (value.kind === "FETCH") return value.data.body;
  return "html" in value ? value.html : String((value as { body?: Buffer }).body);
}

/** What somebody who visits sees: nothing (the request renders, or waits for it), an old text, or a fresh one. */
function visible(version: Version, found: Found | null): string {
  if (!found || (found.isStale === -1 && version.profiles)) return "gone";
  return `${found.isStale ? "stale" : "fresh"} ${textOf(found.value)}`;
}

const KEYS: readonly { name: string; kind: Kind }[] = [
  ...(["pages", "app", "route", "fetch"] as const).flatMap((kind) =>
    [1, 2].map((n) => ({ name: `/${kind}${n}`, kind })),
  ),
  { name: "/none1", kind: "none" },
];
/** Tags that expire at once, and one that is marked with a time to live where that exists. */
const HARD = ["h1", "h2"];
const SOFT = "s";

interface Given {
  readonly at: number;
  readonly tags: readonly string[];
}

/**
 * Where the two may differ, and only there: Next.js's own handler drops at the end of a tag's `expire` also what was made
 * after the tag had been marked. isrd knows that it has seen the change.
 *
 * Left out, because isrd is meant to be another there:
 *
 * - an old entry that somebody else regenerates: here whoever sees one regenerates it at once;
 * - `expire` of a page on 14.2 and 15.5, which do not look at it;
 * - a mark that is milder than an earlier one of the same tag;
 * - tags of route handlers on 14.2 and 15.5, which do not look at them;
 * - the second revalidation of one tag on 15.5, which forgets it. Here each is of a tag that no other was of.
 */
function agree(theirs: string, ours: string, given: Given | undefined, expiries: ReadonlyMap<string, number>): boolean {
  if (theirs === ours) return true;
  if (theirs !== "gone" || !given) return false;
  return given.tags.some((tag) => {
    const expiry = expiries.get(tag) ?? 0;
    return expiry > given.at && expiry <= Date.now();
  });
}

for (const version of ["next14", "next15", "next16"].map(versionOf)) {
  for (const seed of SEEDS) {
    test(`${STEPS} calls, seed ${seed}: what ${version.name} would serve from isrd`, async (t) => {
      const clock = movableClock(t);
      const sides = sidesOf(t, version, seed);
      const random = new RandomValues(seed);
      const given = new Map<string, Given>();
      const expiries = new Map<string, number>();
      const turns = new Map(HARD.map((tag) => [tag, 0]));
      const present = (tag: string): string => `${tag}.${turns.get(tag) ?? 0}`;

      const write = async (name: string, kind: Kind, step: number, caches: readonly NextCache[]): Promise<void> => {
        const tagged = kind === "app" || kind === "fetch" || (kind === "route" && version.profiles);
        const tags = tagged ? [...HARD.map(present), SOFT].filter(() => random.int(2)) : [];
        const revalidate = random.pick([2, 60, 3600, false as const]);
        for (const [index, side] of sides.entries()) {
          const key = side.prefix + name;
          const value = rendered(version, side, kind, `${step}`, tags);
          const life = version.old ? { revalidate } : { cacheControl: { revalidate, expire: 31_536_000 } };
          const ctx = contextOf(version, side, kind, tags);
          const fetch = { ...ctx, fetchCache: true };
          await caches[index]?.set(
            kind === "fetch" ? key : `/${key}`,
            value,
            kind === "fetch" ? fetch : { ...ctx, ...life },
          );
        }
        given.set(name, { at: Date.now(), tags });
      };

      for (let step = 0; step < STEPS; step++) {
        clock.pass(random.int(10) === 0 ? random.pick([3000, 61_500, 4_000_000]) : 20);
        const caches = sides.map((side) => side.begin());
        const { name, kind } = random.pick(KEYS);
        const what = random.int(10);
        if (what === 0) {
          const tag = random.pick(HARD);
          for (const [index, side] of sides.entries()) await caches[index]?.revalidateTag([side.prefix + present(tag)]);
          turns.set(tag, (turns.get(tag) ?? 0) + 1);
        } else if (what === 1 && version.profiles) {
          for (const [index, side] of sides.entries())
            await caches[index]?.revalidateTag([side.prefix + SOFT], { expire: 30 });
          expiries.set(SOFT, Date.now() + 30_000);
        } else {
          const [theirs, ours] = (await Promise.all(
            sides.map(async (side, index) => {
              const key = kind === "fetch" ? side.prefix + name : `/${side.prefix}${name}`;
              const tags = given.get(name)?.tags ?? [];
              return visible(version, (await caches[index]?.get(key, contextOf(version, side, kind, tags))) ?? null);
            }),
          )) as [string, string];
          assert.ok(
            agree(theirs, ours, given.get(name), expiries),
            `step ${step}, ${name}: Next.js's own has "${theirs}", isrd "${ours}"`,
          );
          // Whoever finds nothing, or something old, renders.
          if (!ours.startsWith("fresh") || !theirs.startsWith("fresh")) await write(name, kind, step, caches);
        }
      }
      assert.ok([...turns.values()].every((turn) => turn > 2) && given.size > 4, "the calls were of all sorts");
    });
  }
}
