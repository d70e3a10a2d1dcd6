import { join } from "node:path";
import { readJson } from "./files.js";

interface HostConfig {
  readonly cacheComponents?: boolean;
  readonly cacheHandlers?: Handlers;
  readonly experimental?: { readonly useCache?: boolean; readonly cacheHandlers?: Handlers };
}

interface Handlers {
  readonly default?: string;
}

/**
 * Whether the app of a build has `'use cache'` without a handler of its own. Next.js keeps the results in each process then,
 * and a revalidation reaches those of one process only: the others make shared pages of old results.
 */
export function keepsUseCacheToItself(distDir: string, env: NodeJS.ProcessEnv): boolean {
  const file = readJson(join(/* turbopackIgnore: true */ distDir, "required-server-files.json")) ?? {};
  const { cacheComponents, cacheHandlers, experimental } = (file as { config?: HostConfig }).config ?? {};
  const used = cacheComponents === true || experimental?.useCache === true;
  const handlers = { ...experimental?.cacheHandlers, ...cacheHandlers };
  return used && !handlers.default && !env["NEXT_DEFAULT_CACHE_HANDLER_PATH"];
}
