import { VERSION } from "./version.js";

/**
 * The state of this process that must exist once however often the module is loaded: Next.js evaluates a handler in its
 * server, in route bundles and in workers. Copies of different versions of the package keep apart.
 */
const KEY = Symbol.for(`isrd/${VERSION}`);

type Slots = Map<string, unknown>;

function slots(): Slots {
  const host = globalThis as { [KEY]?: Slots };
  host[KEY] ??= new Map();
  return host[KEY];
}

/** The process's one value of this name, made at the first call. */
export function oncePerProcess<T>(name: string, create: () => T): T {
  const all = slots();
  if (!all.has(name)) all.set(name, create());
  return all.get(name) as T;
}

/** The value of this name if it has been made. */
export function peekProcess<T>(name: string): T | undefined {
  return slots().get(name) as T | undefined;
}

/** Lets go of the value of this name: the next to ask for it makes it anew. */
export function forgetInProcess(name: string): void {
  slots().delete(name);
}
