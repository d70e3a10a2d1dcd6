// `isrd inject-routes`: a process knows the lifetime of what it has never rendered, from its first response on. Shown with
// a handler that does nothing about it itself, so that only the manifest can be the reason.
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { buildOf } from "../harness/build.ts";
import { PAGE_CACHE_CONTROL } from "../harness/expect.ts";
import { HttpClient, type Reply } from "../harness/http.ts";
import { NEXT_COMMAND, since, VERSION } from "../harness/next.ts";
import { Origin } from "../harness/origin.ts";
import { OUT, ROOT } from "../harness/paths.ts";
import { Program } from "../harness/program.ts";
import { makeFolder, removeFolder } from "../harness/reap.ts";
import { eventually } from "../harness/wait.ts";

/** Keeps entries in files, for every process that comes; they are a minute old as soon as they are written. */
const HANDLER = `
  const fs = require("node:fs"), path = require("node:path"), v8 = require("node:v8");
  const fileOf = (key) => path.join(__dirname, "shared", Buffer.from(key).toString("base64url"));
  module.exports = class {
    async get(key) {
      try { return v8.deserialize(fs.readFileSync(fileOf(key))); } catch { return null; }
    }
    async set(key, value) {
      fs.mkdirSync(path.join(__dirname, "shared"), { recursive: true });
      fs.writeFileSync(fileOf(key), v8.serialize({ value, lastModified: Date.now() - 60_000 }));
    }
    async revalidateTag() {}
    resetRequestCache() {}
  };
`;

const KINDS = [
  { kind: "app page", route: "/a" },
  { kind: "pages page", route: "/p" },
  { kind: "route handler", route: "/r" },
];

/** As a request has them; each is in the cache by a decoded name. */
const SLUGS = ["known", "k%20n%C3%B6wn", "k%2Fnown"];

const PAGE = since("next15") ? PAGE_CACHE_CONTROL : "s-maxage=3600, stale-while-revalidate";

/** 14.2 sends no Cache-Control with a route handler, whatever it knows. */
function expectedCacheControl(route: string): string | undefined {
  return route === "/r" && VERSION === "next14" ? undefined : PAGE;
}

describe("inject-routes", () => {
  const folder = path.join(OUT, "replicas", `${process.pid}-inject`);
  let origin: Origin;
  let program: Program;
  let http: HttpClient;
  let lives = 0;

  before(async () => {
    origin = await Origin.start();
    await makeFolder(folder);
    await cp(await buildOf("plain"), folder, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    await writeFile(path.join(folder, "handler.cjs"), HANDLER);
    const config = { cacheHandler: path.join(folder, "handler.cjs"), cacheMaxMemorySize: 0 };
    await writeFile(path.join(folder, "next.config.js"), `module.exports = ${JSON.stringify(config)};\n`);
    const paths = KINDS.flatMap(({ route }) => SLUGS.map((slug) => `${route}/${slug}`));
    await inject([...paths, "/p/missing-known", "/a/missing-known"]);
    await start();
  });
  after(async () => {
    await stop();
    await origin.stop();
    removeFolder(folder);
  });

  async function inject(paths: string[]): Promise<string> {
    const list = path.join(folder, "urls.txt");
    await writeFile(list, paths.join("\n"));
    const command = path.join(ROOT, "jsclient", "dist", "cli", "main.js");
    const args = [command, "inject-routes", "--list", list, "--revalidate", "3600"];
    const run = new Program({ name: "inject", command: process.execPath, args, cwd: folder });
    assert.equal(await run.exited, "exited with 0", run.output);
    return run.output;
  }

  async function start(): Promise<void> {
    lives += 1;
    program = new Program({
      name: `next-${lives}`,
      command: process.execPath,
      args: [NEXT_COMMAND, "start", "--hostname", "127.0.0.1", "--port", "0"],
      cwd: folder,
      env: { ORIGIN_URL: origin.url },
    });
    const [, url] = await program.written(/Local:\s+(http:\/\/127\.0\.0\.1:\d+)/, 30_000);
    http = new HttpClient(url ?? "");
    await eventually("it answers", 30_000, () => http.request("/_next/static/none.js", { timeoutMs: 5000 }));
  }

  async function stop(): Promise<void> {
    await program?.stop(20_000);
    http?.close();
  }

  /** Fills the cache with a page, and asks the next process for it. */
  async function afterRestart(pages: string[]): Promise<Map<string, { before: Reply; after: Reply; renders: number }>> {
    const warm = new Map<string, Reply>();
    for (const page of pages) warm.set(page, await http.request(page));
    await stop();
    await start();
    const outcome = new Map<string, { before: Reply; after: Reply; renders: number }>();
    for (const [page, before] of warm) {
      const renders = origin.allRenders;
      outcome.set(page, { before, after: await http.request(page), renders: origin.allRenders - renders });
    }
    return outcome;
  }

  test("the first response of a new process is a HIT with its Cache-Control, and renders nothing", async () => {
    const pages = KINDS.flatMap(({ route }) => SLUGS.map((slug) => `${route}/${slug}`));
    for (const [page, { before, after, renders }] of await afterRestart(pages)) {
      assert.equal(before.status, 200, page);
      assert.deepEqual(after.marker, before.marker, page);
      assert.equal(after.cache, "HIT", page);
      assert.equal(after.cacheControl, expectedCacheControl(page.slice(0, 2)), page);
      assert.equal(renders, 0, page);
    }
  });

  test("without it the answer is stale, says nothing to a CDN, and is rendered again", async () => {
    const pages = KINDS.map(({ route }) => `${route}/unknown`);
    for (const [page, { before, after }] of await afterRestart(pages)) {
      assert.deepEqual(after.marker, before.marker, page);
      assert.equal(after.cache, "STALE", page);
      assert.equal(after.cacheControl, undefined, page);
      await eventually(`${page} is rendered again`, 5000, async () => {
        assert.notDeepEqual((await http.request(page)).marker, before.marker);
      });
    }
  });

  test("a page that is not found is a 404, before and after", async () => {
    for (const page of ["/p/missing-known", "/a/missing-known"]) {
      const [outcome] = (await afterRestart([page])).values();
      assert.deepEqual([outcome?.before.status, outcome?.after.status], [404, 404], page);
      assert.equal(outcome?.after.cache, "HIT", page);
    }
    assert.equal((await http.request("/nowhere/at-all")).status, 404);
  });

  test("every entry names its route and its kind: without them it has no effect, or is an error", async () => {
    const manifest = JSON.parse(await readFile(path.join(folder, ".next", "prerender-manifest.json"), "utf8"));
    const buildId = (await readFile(path.join(folder, ".next", "BUILD_ID"), "utf8")).trim();
    const dataRoutes = { "/a": "/a/k nöwn.rsc", "/p": `/_next/data/${buildId}/p/k nöwn.json`, "/r": null };
    for (const [route, dataRoute] of Object.entries(dataRoutes)) {
      const entry = manifest.routes[`${route}/k nöwn`];
      assert.equal(entry.srcRoute, `${route}/[id]`);
      assert.equal(entry.dataRoute, dataRoute);
    }
  });

  test("routes that are rendered for each request are refused, and a second run changes nothing", async () => {
    const file = path.join(folder, ".next", "prerender-manifest.json");
    const manifest = await readFile(file, "utf8");
    const said = await inject(["/data/x", "/a/known", "/prerendered"]);
    assert.match(said, /refused 1: .*: \/data\/x$/m);
    assert.match(said, /nothing was written: there is nothing new/);
    assert.equal(await readFile(file, "utf8"), manifest);
  });
});
