import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { LRUCache } from "lru-cache";
import { type Address, addressesFrom } from "./address.js";
import { Beginnings } from "./beginnings.js";
import { Client } from "./client.js";
import { type Config, configFrom, logLevelFrom } from "./config.js";
import { Fallback } from "./fallback.js";
import { Space, type Version } from "./gen/isrd/v1/entry_pb.js";
import { dialGrpc, MAX_MESSAGE_BYTES } from "./grpc-transport.js";
import { keyHasher } from "./key.js";
import { Leases } from "./lease.js";
import { createLog, type Log } from "./log.js";
import { NearCache } from "./near-cache.js";
import { findServedBuild, nextLoader, type ServedBuild } from "./next/build.js";
import { BuildOutput } from "./next/build-output.js";
import { findPagesRoutes, type PagesRoutes } from "./next/implicit-tags.js";
import { RequestScopes } from "./next/request-scope.js";
import { findTelling, type LoadNext, type Telling } from "./next/telling.js";
import { Session } from "./session.js";
import { oncePerProcess, peekProcess } from "./shared.js";
import type { Dial } from "./transport.js";
import { VERSION } from "./version.js";

/** An entry that get has handed to Next.js. */
export interface Handed {
  /** Its version; none if it came from the fallback. */
  readonly version: Version | undefined;
  /** Its true lifetime; Next.js may have been told a shorter one. */
  readonly revalidate: number | undefined;
}

/** Everything that a process has once, put together. */
export interface Runtime {
  readonly log: Log;
  readonly config: Config;
  readonly served: ServedBuild;
  readonly session: Session;
  readonly client: Client;
  readonly near: NearCache;
  readonly scopes: RequestScopes;
  /** How this Next.js is told lifetimes. */
  readonly telling: Promise<Telling>;
  /** What `next build` has rendered. */
  readonly output: BuildOutput;
  /** What the names of fetches begin with: nothing, unless each build has its own. */
  readonly fetchPrefix: string;
  /** The pages of the Pages Router; read when they are first asked for. */
  pages(): PagesRoutes;
  /** The values that get has handed out, to know them again when Next.js gives one back. */
  readonly handed: WeakMap<object, Handed>;
  /** The keys whose old "not found" get has handed out to be rendered. */
  readonly oldNulls: LRUCache<string, Handed>;
  /** Where the daemon is, or is looked for first; for people. Throws an IsrdError `address`. */
  address(): string;
}

const NAME = "runtime";
const MAX_OLD_NULLS = 1000;

/** The process's runtime, made when it is first needed. It opens no connection by itself. */
export function processRuntime(serverDistDir: string | undefined): Runtime {
  return oncePerProcess(NAME, () => {
    const runtime = createRuntime({ serverDistDir, env: process.env, dial: dialGrpc });
    runtime.scopes.watch();
    return runtime;
  });
}

/** The process's runtime, if there is one yet. */
export function peekRuntime(): Runtime | undefined {
  return peekProcess(NAME);
}

/** Puts the parts together. */
export function createRuntime(options: {
  serverDistDir: string | undefined;
  env: NodeJS.ProcessEnv;
  dial: Dial;
  log?: Log;
  /** Default: from where the app's server would. */
  load?: LoadNext;
}): Runtime {
  const { env, dial, serverDistDir } = options;
  const load = options.load ?? nextLoader(serverDistDir);
  const log = options.log ?? createLog(logLevelFrom(env));
  const config = configFrom(env, log);
  const own = findServedBuild(serverDistDir, env, log, load);
  const served = scoped(own, config, log);
  const fetchPrefix = config.fetchScope === "app" ? "" : `${own.build.buildId}/${own.build.deploymentId}/`;
  const addresses = (): readonly Address[] => addressesFrom(env);
  const fallback = new Fallback(config.fallbackBytes);
  const { token, timeoutMs, revalidateTimeoutMs } = config;
  const near = new NearCache({ maxBytes: config.nearCacheBytes, hashOf: keyHasher(served.app, served.build) });
  const leases = new Leases();
  const beginnings = new Beginnings(near);
  const hello = helloOf(served, config);
  const session = new Session({
    ...{ dial, addresses, token, timeoutMs, revalidateTimeoutMs, log, leases, memory: beginnings },
    hello: (resume) => ({ ...hello, ...(resume ? { resume } : {}) }),
    onReady: () => fallback.clear(),
  });
  const client = new Client({ session, fallback, near, leases, beginnings, identity: served, timeoutMs, log });
  const scopes = new RequestScopes((scope, status) => {
    // A set of 'use cache' may come a moment later, so that of its key nothing is learnt.
    for (const render of scope.renders) client.abandon(render, status < 500 && render.key.space === Space.ROUTE);
    scope.renders.clear();
  });
  const address = (): string => session.where || (addresses()[0]?.text ?? "");
  const telling = findTelling(load).then((found) => report(found, served, log));
  const oldNulls = new LRUCache<string, Handed>({ max: MAX_OLD_NULLS });
  const distDir = serverDistDir === undefined ? undefined : dirname(serverDistDir);
  const output = new BuildOutput(load, distDir);
  let routes: PagesRoutes | undefined;
  const pages = (): PagesRoutes => {
    routes ??= findPagesRoutes(distDir);
    return routes;
  };
  return {
    log,
    config,
    served,
    session,
    client,
    near,
    scopes,
    telling,
    output,
    pages,
    fetchPrefix,
    handed: new WeakMap(),
    oldNulls,
    address,
  };
}

/** Where builds share their pages, none of them is named. */
function scoped(served: ServedBuild, { buildScope }: Config, log: Log): ServedBuild {
  if (buildScope === "build") return served;
  log.warn(
    "ISRD_BUILD_SCOPE=app: a page is served by every build, and refers to the scripts of the one that rendered it",
  );
  return { ...served, build: { buildId: "", deploymentId: "" } };
}

/** Says once which way is in use: it decides whether pages that another process has rendered have a `Cache-Control`. */
function report(found: Awaited<ReturnType<typeof findTelling>>, { nextVersion }: ServedBuild, log: Log): Telling {
  const name = `Next.js ${nextVersion}`.trim();
  const { way } = found.telling;
  if (way === "answer") log.info(`${name} is told the lifetime of an entry with the entry`);
  else if (way === "table") log.info(`${name} is told the lifetime of an entry by its own table of lifetimes`);
  else
    log.warn(
      `${name} cannot be told lifetimes (${found.problem}): pages that another process has rendered have no Cache-Control`,
    );
  return found.telling;
}

function helloOf({ app, build, nextVersion }: ServedBuild, config: Config) {
  return {
    app,
    build: { ...build },
    // A container's pid is often 1, and so is that of the one that replaces it.
    instance: `${hostname()}/${process.pid}/${randomBytes(4).toString("hex")}`,
    token: config.token ?? "",
    clientVersion: `isrd/${VERSION}`,
    nextVersion,
    maxMessageBytes: BigInt(MAX_MESSAGE_BYTES),
  };
}
