import type { Log, LogLevel } from "./log.js";

/** The settings of a process, from its environment. */
export interface Config {
  /** ISRD_TIMEOUT_MS: the longest that a call waits for the daemon's first sign, in milliseconds; see PATIENCE. @default 200 */
  readonly timeoutMs: number;
  /** ISRD_REVALIDATE_TIMEOUT_MS: the longest that revalidateTag waits for the fleet. @default 5000 */
  readonly revalidateTimeoutMs: number;
  /** ISRD_FALLBACK_BYTES: memory for entries while the daemon is away; 0 keeps none. @default 33554432 */
  readonly fallbackBytes: number;
  /** ISRD_NEAR_CACHE_BYTES: memory for entries that are known to be fresh; 0 keeps none. @default 52428800 */
  readonly nearCacheBytes: number;
  /** ISRD_TOKEN: the daemon's shared secret, where it was given one. */
  readonly token: string | undefined;
  /** ISRD_APP: the name under which this app's entries are kept. Default: `name` of its package.json. */
  readonly app: string | undefined;
  /** ISRD_BUILD_SCOPE: whether pages are kept by build, or shared by all builds of the app. @default build */
  readonly buildScope: Scope;
  /** ISRD_FETCH_SCOPE: whether data of `fetch` and `unstable_cache` is shared by the app's builds. @default app */
  readonly fetchScope: Scope;
  /** ISRD_WORKER_CONCURRENCY: pages that this process regenerates for the fleet at the same time; 0: none. @default 2 */
  readonly workerConcurrency: number;
  /** ISRD_ROLE: what this process is for; `dedicated`: it serves nobody, and is given jobs first. */
  readonly role: string;
  /** ISRD_LOG: silent, info or debug. @default info */
  readonly logLevel: LogLevel;
}

/** Who shares entries: the processes of one build, or those of all builds of an app. */
export type Scope = "build" | "app";

export const DEFAULT_CONFIG: Config = {
  timeoutMs: 200,
  revalidateTimeoutMs: 5000,
  fallbackBytes: 32 * 1024 * 1024,
  nearCacheBytes: 50 * 1024 * 1024,
  token: undefined,
  app: undefined,
  buildScope: "build",
  fetchScope: "app",
  workerConcurrency: 2,
  role: "",
  logLevel: "info",
};

/** The longest time that a Node timer can hold; anything above would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** More than this no daemon takes up. */
const MAX_JOBS = 256;

/** The level alone, needed before there is a log to complain to. */
export function logLevelFrom(env: NodeJS.ProcessEnv): LogLevel {
  const level = env["ISRD_LOG"];
  return level === "silent" || level === "debug" ? level : DEFAULT_CONFIG.logLevel;
}

/** Reads the settings. A value that cannot be understood is named in one warning, and its default is used. */
export function configFrom(env: NodeJS.ProcessEnv, log: Log): Config {
  const whole = (name: string, fallback: number, min: number, max: number): number => {
    const text = env[name]?.trim();
    if (!text) return fallback;
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    log.warn(`${name} is "${text}": expected a whole number from ${min} to ${max}; using ${fallback}`);
    return fallback;
  };
  const scope = (name: string, fallback: Scope): Scope => {
    const text = env[name]?.trim();
    if (!text) return fallback;
    if (text === "build" || text === "app") return text;
    log.warn(`${name} is "${text}": expected build or app; using ${fallback}`);
    return fallback;
  };
  const level = env["ISRD_LOG"];
  if (level && level !== "info" && level !== "silent" && level !== "debug") {
    log.warn(`ISRD_LOG is "${level}": expected silent, info or debug; using ${DEFAULT_CONFIG.logLevel}`);
  }
  return {
    timeoutMs: whole("ISRD_TIMEOUT_MS", DEFAULT_CONFIG.timeoutMs, 1, MAX_TIMER_MS),
    revalidateTimeoutMs: whole("ISRD_REVALIDATE_TIMEOUT_MS", DEFAULT_CONFIG.revalidateTimeoutMs, 1, MAX_TIMER_MS),
    fallbackBytes: whole("ISRD_FALLBACK_BYTES", DEFAULT_CONFIG.fallbackBytes, 0, Number.MAX_SAFE_INTEGER),
    nearCacheBytes: whole("ISRD_NEAR_CACHE_BYTES", DEFAULT_CONFIG.nearCacheBytes, 0, Number.MAX_SAFE_INTEGER),
    token: env["ISRD_TOKEN"] || undefined,
    app: env["ISRD_APP"]?.trim() || undefined,
    buildScope: scope("ISRD_BUILD_SCOPE", DEFAULT_CONFIG.buildScope),
    fetchScope: scope("ISRD_FETCH_SCOPE", DEFAULT_CONFIG.fetchScope),
    workerConcurrency: whole("ISRD_WORKER_CONCURRENCY", DEFAULT_CONFIG.workerConcurrency, 0, MAX_JOBS),
    role: env["ISRD_ROLE"]?.trim() ?? "",
    logLevel: logLevelFrom(env),
  };
}
