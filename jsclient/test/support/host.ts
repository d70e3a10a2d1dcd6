import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Handler } from "../../src/handler.js";
import { createLog, type Log } from "../../src/log.js";
import type { LoadNext } from "../../src/next/telling.js";
import type { HostContext } from "../../src/next/values.js";
import { createRuntime, type Runtime } from "../../src/runtime.js";
import type { Dial } from "../../src/transport.js";

/** A log that keeps its lines. */
export function memoryLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const keep = (level: string) => (line: string) => {
    // Said once in each process, whatever it is that a test is about.
    if (!line.includes("is told the lifetime")) lines.push(line.replace(/^isrd:/, level));
  };
  return Object.assign(createLog("info", { info: keep("info"), warn: keep("warn") }), { lines });
}

/** What stands for a process of Next.js: its own session, handlers made per request. */
export interface FakeHost {
  readonly runtime: Runtime;
  readonly log: ReturnType<typeof memoryLog>;
  /** A handler, as Next.js makes one for a request with these headers. */
  handler(headers?: HostContext["_requestHeaders"]): Handler;
  close(): void;
}

export const PREVIEW_ID = "0123456789abcdef";

/** A build output with just the files that the client reads. */
export function fakeBuild(buildId: string, app = "shop"): { serverDistDir: string; remove: () => void } {
  const root = mkdtempSync(join(tmpdir(), "isrd-build-"));
  const serverDistDir = join(root, ".next", "server");
  mkdirSync(serverDistDir, { recursive: true });
  writeFileSync(join(root, "package.json"), JSON.stringify({ name: app }));
  writeFileSync(join(root, ".next", "package.json"), JSON.stringify({ type: "commonjs" }));
  writeFileSync(join(root, ".next", "BUILD_ID"), buildId);
  const routes = { "/page": "/", "/of/route/page": "/of/route", "/of/[id]/page": "/of/[id]" };
  writeFileSync(join(root, ".next", "app-path-routes-manifest.json"), JSON.stringify(routes));
  writeFileSync(join(serverDistDir, "preview-props.json"), JSON.stringify({ previewModeId: PREVIEW_ID }));
  return { serverDistDir, remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** Starts a host. */
export function startHost(options: {
  dial: Dial;
  env?: NodeJS.ProcessEnv;
  buildId?: string;
  app?: string;
  /** The Next.js that it is; by default that of this repository. */
  load?: LoadNext;
}): FakeHost {
  const build = fakeBuild(options.buildId ?? "build-1", options.app);
  const log = memoryLog();
  const env = { ISRD_ADDRESS: "unix:/nowhere.sock", ...options.env };
  // The Next.js of this repository: a folder of the system's for temporary files has none.
  const load = options.load ?? createRequire(import.meta.url);
  const runtime = createRuntime({ serverDistDir: build.serverDistDir, env, dial: options.dial, log, load });
  return {
    runtime,
    log,
    handler: (headers = {}) => new Handler({ _requestHeaders: headers, serverDistDir: build.serverDistDir }, runtime),
    close: () => {
      runtime.session.close();
      build.remove();
    },
  };
}
