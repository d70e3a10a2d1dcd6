import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import { LRUCache } from "lru-cache";
import { type Address, addressesFrom } from "./address.js";
import { Beginnings } from "./beginnings.js";
import { Client } from "./client.js";
import { type Config, configFrom, logLevelFrom } from "./config.js";
import { Fallback } from "./fallback.js";
import { Space, type Version } from "./gen/isrd/v1/entry_pb.js";
import { dialGrpc, MAX_MESSAGE_BYTES } from "./grpc-transport.js";
import type { Work } from "./jobs.js";
import { keyHasher } from "./key.js";
import { Leases } from "./lease.js";
import { createLog, type Log } from "./log.js";
import { NearCache } from "./near-cache.js";
import { findServedBuild, guessServerDistDir, nextLoader, type ServedBuild } from "./next/build.js";
import { BuildOutput } from "./next/build-output.js";
import { findPagesRoutes, type PagesRoutes } from "./next/implicit-tags.js";
import { treatsRouterAsPrefetch } from "./next/intent.js";
import { RequestScopes } from "./next/request-scope.js";
import { findRouting, type Routing } from "./next/routing.js";
import { findStaticRoutes } from "./next/static-routes.js";
import { findTelling, type LoadNext, type Telling } from "./next/telling.js";
import { keepsUseCacheToItself } from "./next/unshared.js";
import { OwnServer, processServer } from "./own-server.js";
import { Regeneration } from "./regeneration.js";
import { Session } from "./session.js";
import { forgetInProcess, oncePerProcess, peekProcess } from "./shared.js";
import type { Dial } from "./transport.js";
import { VERSION } from "./version.js";
import { type Who, whoami } from "./whoami.js";

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
  /** Where the build was found, and whether that was a guess. */
  readonly serverDistDir: string | undefined;
  readonly guessed: boolean;
  readonly session: Session;
  readonly client: Client;
  readonly near: NearCache;
  readonly scopes: RequestScopes;
  /** The HTTP server of this process, through which it regenerates pages. */
  readonly server: OwnServer;
  /** What it does for the fleet; undefined: nothing. */
  readonly regeneration: Regeneration | undefined;
  /** How this Next.js is told lifetimes. */
  readonly telling: Promise<Telling>;
  /** What `next build` has rendered. */
  readonly output: BuildOutput;
  /** What the names of fetches begin with: nothing, unless each build has its own. */
  readonly fetchPrefix: string;
  /** The pages of the Pages Router; read when they are first asked for. */
  pages(): PagesRoutes;
  /** Whether a key is that of a route without parameters, in the App Router. */
  hasOwnRoute(key: string): boolean;
  /** Whether this Next.js takes what its router prefetches for a prefetch. */
  routerPrefetches(): boolean;
  /** The values that get has handed out, to know them again when Next.js gives one back. */
  readonly handed: WeakMap<object, Handed>;
  /** The keys whose old "not found" get has handed out to be rendered. */
  readonly oldNulls: LRUCache<string, Handed>;
  /** Where the daemon is, or is looked for first; for people. Throws an IsrdError `address`. */
  address(): string;
}

const USE_CACHE_UNSHARED =
  "results of 'use cache' are kept by each process for itself, so that after a revalidation old ones get into pages that all " +
  "share: add cacheHandlers: { default: require.resolve('isrd/cache-handlers') } to the configuration of Next.js";
const NAME = "runtime";
const MAX_OLD_NULLS = 1000;

/**
 * The process's runtime, made when it is first needed. It opens no connection by itself. `serverDistDir` is what Next.js
 * says; who must guess it uses {@link guessedRuntime}.
 */
export function processRuntime(serverDistDir: string | undefined): Runtime {
  const known = peekRuntime();
  const wrong = known?.guessed && serverDistDir !== undefined && resolve(serverDistDir) !== known.serverDistDir;
  if (wrong) {
    known.log.info(`the build that is served is in ${dirname(serverDistDir)}: connecting anew`);
    known.session.close();
    forgetInProcess(NAME);
  }
  return oncePerProcess(NAME, () => startRuntime(serverDistDir, false));
}

/** The process's runtime, for callers that Next.js does not tell where its build is. */
export function guessedRuntime(): Runtime {
  return oncePerProcess(NAME, () => startRuntime(guessServerDistDir(process.env, process.argv, process.cwd()), true));
}

function startRuntime(serverDistDir: string | undefined, guessed: boolean): Runtime {
  const server = processServer();
  const runtime = createRuntime({ serverDistDir, guessed, server, env: process.env, dial: dialGrpc });
  runtime.scopes.watch();
  return runtime;
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
  /** Default: one that is told of servers by nobody. */
  server?: OwnServer;
  guessed?: boolean;
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
  const distDir = serverDistDir === undefined ? undefined : dirname(serverDistDir);
  if (distDir !== undefined && keepsUseCacheToItself(distDir, env)) log.warn(USE_CACHE_UNSHARED);
  const server = options.server ?? new OwnServer(env);
  const { workerConcurrency: concurrency } = config;
  const { previewId, build } = own;
  const routing = (): Routing => findRouting(distDir, build.buildId);
  const regeneration =
    previewId && concurrency > 0 ? new Regeneration({ concurrency, previewId, routing, server }) : undefined;
  const who = whoami(env, hostname());
  const hello = helloOf(served, config, who);
  const offer = (): ReturnType<typeof offerOf> => (server.likely ? offerOf(who, config, regeneration) : {});
  const session = new Session({
    ...{ dial, addresses, token, timeoutMs, revalidateTimeoutMs, log, leases, memory: beginnings, work: regeneration },
    hello: (resume) => ({ ...hello, ...offer(), ...(resume ? { resume } : {}) }),
    onReady: () => fallback.clear(),
  });
  const client = new Client({ session, fallback, near, leases, beginnings, identity: served, timeoutMs, log });
  const scopes = new RequestScopes((scope, status) => {
    // A set of 'use cache' may come a moment later, so that of its key nothing is learnt.
    for (const render of scope.renders) client.abandon(render, status < 500 && render.key.space !== Space.USE_CACHE);
    scope.renders.clear();
  });
  const address = (): string => session.where || (addresses()[0]?.text ?? "");
  const telling = findTelling(load).then((found) => report(found, served, log));
  const oldNulls = new LRUCache<string, Handed>({ max: MAX_OLD_NULLS });
  const output = new BuildOutput(load, distDir);
  const pages = once(() => findPagesRoutes(distDir));
  const staticRoutes = once(() => findStaticRoutes(distDir));
  const prefetching = once(() => ({ byRouter: treatsRouterAsPrefetch(load) }));
  const routes = {
    pages,
    hasOwnRoute: (key: string): boolean => staticRoutes()(key),
    routerPrefetches: (): boolean => prefetching().byRouter,
  };
  const parts = {
    log,
    config,
    served,
    session,
    client,
    near,
    scopes,
    server,
    regeneration,
    telling,
    output,
    ...routes,
  };
  const where = { serverDistDir: serverDistDir && resolve(serverDistDir), guessed: options.guessed === true };
  return { ...parts, ...where, fetchPrefix, handed: new WeakMap(), oldNulls, address };
}

/** Makes something when it is first asked for. */
function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
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

/** What this process does for others; a process without a server does nothing. */
function offerOf({ ordinal }: Who, { role }: Config, work: Work | undefined) {
  if (!work) return {};
  return { worker: { concurrency: work.concurrency, role, ...(ordinal === undefined ? {} : { ordinal }) } };
}

function helloOf({ app, build, nextVersion }: ServedBuild, config: Config, who: Who) {
  return {
    app,
    build: { ...build },
    // A container's pid is often 1, and so is that of the one that replaces it.
    instance: `${who.instance}/${process.pid}/${randomBytes(4).toString("hex")}`,
    token: config.token ?? "",
    clientVersion: `isrd/${VERSION}`,
    nextVersion,
    maxMessageBytes: BigInt(MAX_MESSAGE_BYTES),
  };
}
