// Builds and configurations of their own, each of which takes a `next build`: not in `make test`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { cp, readdir } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { markerOf } from "../harness/ask.ts";
import { buildOf, copySources } from "../harness/build.ts";
import { PAGE_CACHE_CONTROL } from "../harness/expect.ts";
import { Fleet } from "../harness/fleet.ts";
import { HttpClient } from "../harness/http.ts";
import { NEXT_COMMAND, since } from "../harness/next.ts";
import { OUT } from "../harness/paths.ts";
import { Program } from "../harness/program.ts";
import { Queue } from "../harness/queue.ts";
import { makeFolder, removeFolder, temporaryFolder } from "../harness/reap.ts";
import type { Replica } from "../harness/replica.ts";

const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 20_000;
const JOB_TIMEOUT_MS = 20_000;

/** What A has rendered, B serves. */
async function assertShared(page: string, a: Replica | HttpClient, b: Replica | HttpClient): Promise<void> {
  const [first, second] = [await a.request(page), await b.request(page)];
  assert.deepEqual(markerOf(second), markerOf(first));
  assert.equal(second.cache, "HIT");
  assert.equal(second.cacheControl, PAGE_CACHE_CONTROL);
}

describe("configurations", () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ topology: "embedded", replicas: 1 });
  });
  after(() => fleet?.stop());

  const noTypes = since("next15") ? false : "14 takes no configuration in TypeScript";
  describe("a configuration in TypeScript", { skip: noTypes }, () => {
    let replicas: readonly [Replica, Replica];
    before(async () => {
      const start = (name: string) => fleet.another({ name, app: "typed", env: { ISRD_APP: "typed" } });
      replicas = [await start("typed-a"), await start("typed-b")];
    });

    test("replicas share their pages", () => assertShared("/a/1k-x", ...replicas));

    const noImages = since("next16") ? false : "before 16 images never go by the cache handler";
    test("an image that A has optimised is served by B", { skip: noImages }, async () => {
      const image = "/_next/image?url=%2Fpicture.png&w=64&q=75";
      const headers = { accept: "image/webp" };
      const [a, b] = replicas;
      const [first, second] = [await a.request(image, { headers }), await b.request(image, { headers })];
      assert.deepEqual([first.status, first.cache], [200, "MISS"]);
      assert.deepEqual([second.status, second.cache], [200, "HIT"]);
      assert.ok(second.body.equals(first.body), "the same bytes");
      assert.equal(second.headers["content-type"], "image/webp");
    });
  });

  describe("a zone beside the app, with a basePath and two languages", () => {
    let zones: readonly [Replica, Replica];
    before(async () => {
      const zone = (name: string) => fleet.another({ name, app: "zone", env: { ISRD_APP: "zone" } });
      zones = [await zone("zone-a"), await zone("zone-b")];
    });

    test("what one of its replicas has rendered, the other serves, in each language its own", async () => {
      const renders = new Set<number>();
      for (const page of ["/zone/p/1k-x", "/zone/de/p/1k-x"]) {
        const [first, second] = [await zones[0].request(page), await zones[1].request(page)];
        assert.equal(second.cache, "HIT");
        assert.equal(second.cacheControl, PAGE_CACHE_CONTROL);
        assert.deepEqual(markerOf(second), markerOf(first));
        renders.add(markerOf(first).render);
      }
      assert.equal(renders.size, 2);
    });

    test("it does not meet the app that has the same path without the basePath", async () => {
      const [here, there] = [await fleet.a.request("/p/1k-zoned"), await zones[0].request("/zone/p/1k-zoned")];
      assert.notEqual(markerOf(here).render, markerOf(there).render);
      assert.notEqual(here.cache, "HIT");
      assert.notEqual(there.cache, "HIT");
    });

    test("res.revalidate renews a page in one language at both of its replicas", async () => {
      const pages = ["/zone/p/1k-lang", "/zone/de/p/1k-lang"] as const;
      const [english, german] = [await zones[0].request(pages[0]), await zones[0].request(pages[1])];
      const reply = await zones[0].request("/zone/api/revalidate?path=/de/p/1k-lang");
      assert.equal(reply.status, 200, reply.text);
      for (const zone of zones) {
        assert.deepEqual(markerOf(await zone.request(pages[0])), markerOf(english));
        assert.notEqual(markerOf(await zone.request(pages[1])).render, markerOf(german).render);
      }
    });

    test("a job names a path without the basePath; with a language it is for that one, and else for the default", async (t) => {
      const queue = new Queue(fleet.daemons[0] as never, "zone");
      t.after(() => queue.close());
      const written = async (path: string): Promise<void> => {
        const [job] = await queue.ended(await queue.enqueue([path]), JOB_TIMEOUT_MS);
        assert.equal(job?.outcome, "JOB_OUTCOME_WRITTEN", JSON.stringify(job));
      };
      const ask = async (zone: Replica) => [
        markerOf(await zone.request("/zone/p/1k-job")).render,
        markerOf(await zone.request("/zone/de/p/1k-job")).render,
      ];
      const [english, german] = await ask(zones[0]);
      await written("/de/p/1k-job");
      const [, translated] = await ask(zones[1]);
      assert.notEqual(translated, german);
      for (const zone of zones) assert.deepEqual(await ask(zone), [english, translated]);
      await written("/p/1k-job");
      const [renewed] = await ask(zones[1]);
      assert.notEqual(renewed, english);
      for (const zone of zones) assert.deepEqual(await ask(zone), [renewed, translated]);
    });
  });

  test("output: standalone, with a configuration in ESM, runs from a folder that has nothing else", async () => {
    const folder = temporaryFolder();
    const standalone = path.join(await buildOf("zone"), ".next", "standalone");
    await cp(standalone, folder, { recursive: true, verbatimSymlinks: true });
    const servers = await Promise.all(["one", "two"].map((name) => startStandalone(name, folder, fleet)));
    try {
      const [a, b] = servers.map(({ http }) => http) as [HttpClient, HttpClient];
      await assertShared("/zone/p/1k-standalone", a, b);
    } finally {
      for (const { program, http } of servers) {
        http.close();
        await program.stop(STOP_GRACE_MS);
      }
      removeFolder(folder);
    }
  });

  test("a route on the edge runtime does not break the build, and works beside pages that are shared", async () => {
    const start = (name: string) => fleet.another({ name, app: "edge", env: { ISRD_APP: "edge" } });
    const [a, b] = [await start("edge-a"), await start("edge-b")];
    for (const replica of [a, b]) assert.equal((await replica.request("/edge")).text, "from the edge");
    await assertShared("/a/1k-x", a, b);
  });
});

describe("in a folder of its own", () => {
  const folder = path.join(OUT, "replicas", `${process.pid}-own`);
  const sockets = temporaryFolder();
  const address = `unix://${path.join(sockets, "isrd.sock")}`;
  let fleet: Fleet;
  let connections = 0;
  /** What would be waited for if it were asked: it takes connections and never answers. */
  const deaf = net.createServer(() => {
    connections += 1;
  });
  before(async () => {
    fleet = await Fleet.start({ topology: "embedded", replicas: 1 });
    deaf.listen(address.replace("unix://", ""));
    await once(deaf, "listening");
    await makeFolder(folder);
    await copySources("plain", folder);
  });
  after(async () => {
    deaf.close();
    await fleet?.stop();
    removeFolder(folder);
    removeFolder(sockets);
  });

  test("next dev renders every request, asks no daemon, and says nothing of isrd", async () => {
    const { program, http } = await startDev(folder, { ISRD_ADDRESS: address, ORIGIN_URL: fleet.origin.url });
    try {
      for (const page of ["/a/1k-dev", "/p/1k-dev"]) {
        const replies = [
          await http.request(page, { timeoutMs: READY_TIMEOUT_MS }),
          await http.request(page, { timeoutMs: READY_TIMEOUT_MS }),
        ];
        const renders = replies.map((reply) => markerOf(reply).render);
        assert.notEqual(renders[0], renders[1], page);
      }
      assert.equal(connections, 0);
      assert.deepEqual(program.lines(/isrd: /), []);
    } finally {
      http.close();
      await program.stop(STOP_GRACE_MS);
    }
  });
});

interface Running {
  readonly program: Program;
  readonly http: HttpClient;
}

/** Runs the server of a standalone output, wherever below the folder it is. */
async function startStandalone(name: string, folder: string, fleet: Fleet): Promise<Running> {
  const files = await readdir(folder, { recursive: true });
  const server = files.find((file) => path.basename(file) === "server.js" && !file.includes("node_modules"));
  assert.ok(server, "the output has a server");
  const { address } = fleet.daemons[0] as Fleet["daemons"][number];
  const common = { ISRD_ADDRESS: address, ISRD_APP: "standalone", ISRD_TIMEOUT_MS: "2000" };
  const env = { ...common, ORIGIN_URL: fleet.origin.url, HOSTNAME: "127.0.0.1", PORT: String(await freePort()) };
  const cwd = path.join(folder, path.dirname(server));
  const program = new Program({ name: `standalone-${name}`, command: process.execPath, args: ["server.js"], cwd, env });
  return { program, http: await answering(program) };
}

async function startDev(folder: string, env: NodeJS.ProcessEnv): Promise<Running> {
  const args = [NEXT_COMMAND, "dev", "--hostname", "127.0.0.1", "--port", String(await freePort())];
  const program = new Program({ name: "dev", command: process.execPath, args, cwd: folder, env });
  return { program, http: await answering(program) };
}

async function answering(program: Program): Promise<HttpClient> {
  const [, url] = await program.written(/Local:\s+(http:\/\/[\d.]+:\d+)/, READY_TIMEOUT_MS);
  await program.written(/Ready in/, READY_TIMEOUT_MS);
  return new HttpClient(url ?? "");
}

/** 0 is taken for no port at all by these; nobody else is likely to take this one before they do. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
