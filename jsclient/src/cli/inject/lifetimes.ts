import { misuse } from "../failure.js";

/** How long a page is fresh, in seconds; `false`: for ever. Never 0: Next.js would answer with an error. */
export type Revalidate = number | false;

/** What is known of a lifetime; what is not, another source of it must tell. */
export interface Lifetime {
  readonly revalidate?: Revalidate | undefined;
  /** Seconds after which it may not be served any more. */
  readonly expire?: number | undefined;
}

/** What the command line says: for a route, and for all others. */
export interface GivenLifetimes {
  readonly all: Lifetime;
  readonly byRoute: ReadonlyMap<string, Lifetime>;
}

const MAX_SECONDS = 0xffff_fffe; // Next.js's own "for ever"

/** Reads --revalidate. */
export function parseRevalidate(text: string, option: string): Revalidate {
  if (text === "false") return false;
  return parseSeconds(text, option, ' or "false"');
}

/** Reads a number of seconds. */
export function parseSeconds(text: string, option: string, or = ""): number {
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= 1 && seconds <= MAX_SECONDS) return seconds;
  throw misuse(`${option} is "${text}": expected seconds, a whole number from 1 to ${MAX_SECONDS}${or}`);
}

/** Reads `--route PATTERN=REVALIDATE[,EXPIRE]`. */
export function parseRouteLifetime(text: string): [pattern: string, lifetime: Lifetime] {
  const match = /^(\/.*)=([^=,]+)(?:,([^=,]+))?$/.exec(text);
  if (!match) {
    throw misuse(`--route is "${text}": expected a route and its seconds, such as '/blog/[slug]=600' or '…=600,86400'`);
  }
  const [, pattern = "", revalidate = "", expire] = match;
  const lifetime: Lifetime = {
    revalidate: parseRevalidate(revalidate, `--route ${pattern}`),
    ...(expire === undefined ? {} : { expire: parseSeconds(expire, `--route ${pattern}`) }),
  };
  return [pattern, checked(lifetime, `--route ${pattern}`)];
}

/** Refuses a lifetime that ends before it is stale. */
export function checked(lifetime: Lifetime, option: string): Lifetime {
  const { revalidate, expire } = lifetime;
  if (typeof revalidate === "number" && expire !== undefined && expire < revalidate) {
    throw misuse(`${option}: it would expire after ${expire} s, before it is stale after ${revalidate} s`);
  }
  return lifetime;
}

/** The first that says something decides, field by field. */
export function firstOf(...lifetimes: readonly (Lifetime | undefined)[]): Lifetime {
  const revalidate = lifetimes.find((lifetime) => lifetime?.revalidate !== undefined)?.revalidate;
  const expire = lifetimes.find((lifetime) => lifetime?.expire !== undefined)?.expire;
  return { revalidate, expire };
}
