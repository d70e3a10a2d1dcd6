import { entryOf } from "./entry.js";
import { firstOf, type GivenLifetimes, type Lifetime } from "./lifetimes.js";
import type { BuildOutput, PrerenderedRoute, PrerenderManifest } from "./manifests.js";
import { type AppPath, type Place, parseName, parsePath } from "./paths.js";
import type { Located, RouteTable } from "./route-table.js";
import type { Candidate } from "./sources.js";
import { type Refusal, Refusals } from "./summary.js";

/** What is decided by. */
export interface PlanOptions {
  readonly output: BuildOutput;
  /** The manifest as the build has left it. */
  readonly original: PrerenderManifest;
  readonly table: RouteTable;
  readonly place: Place;
  readonly lifetimes: GivenLifetimes;
  /** The default locale of a host, where a build has some of its own. */
  readonly localeOf: (url: string) => string | undefined;
}

/** Collects the entries to write: each candidate becomes one, or is refused. */
export class Plan {
  readonly refusals = new Refusals();
  /** Paths that the build has rendered. */
  prerendered = 0;
  readonly #options: PlanOptions;
  readonly #entries = new Map<string, PrerenderedRoute>();
  readonly #built = new Set<string>();
  readonly #notFound: ReadonlySet<string>;
  readonly #siblings: ReadonlyMap<string, Lifetime>;

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#notFound = new Set(options.original.notFoundRoutes);
    this.#siblings = siblingLifetimes(options.original, this.#notFound);
  }

  /** By their name in the manifest. */
  get entries(): ReadonlyMap<string, PrerenderedRoute> {
    return this.#entries;
  }

  take(candidate: Candidate): void {
    const refusal = this.#take(candidate);
    if (refusal) this.refusals.add(refusal, candidate.text);
  }

  #take(candidate: Candidate): Refusal | undefined {
    const { table, original, output, place, localeOf } = this.#options;
    const path = candidate.isKey ? parseName(candidate.text) : parsePath(candidate.text, place);
    if (typeof path === "string") return path;
    const built = this.#builtName(path);
    if (built !== undefined) return this.#countBuilt(built);
    const located = table.locate(path, localeOf(candidate.text));
    if (typeof located === "string") return located;
    const { name } = located;
    if (this.#notFound.has(name)) return "not-found";
    if (Object.hasOwn(original.routes, name)) return this.#countBuilt(name);
    if (this.#entries.has(name)) return undefined;
    const lifetime = this.#lifetimeOf(located, candidate);
    if (lifetime.revalidate === undefined) return "lifetime";
    this.#entries.set(name, entryOf(located, lifetime, output.buildId));
    return undefined;
  }

  /** A path of a route that takes no more of them, or of one without parameters, may be there all the same. */
  #builtName({ name }: AppPath): string | undefined {
    return Object.hasOwn(this.#options.original.routes, name) && !this.#notFound.has(name) ? name : undefined;
  }

  #countBuilt(name: string): undefined {
    if (!this.#built.has(name)) this.prerendered += 1;
    this.#built.add(name);
  }

  /** What is said of the route, what is known of the path, what is said of all, what the build knows of the route. */
  #lifetimeOf({ route }: Located, candidate: Candidate): Lifetime {
    const { lifetimes, output } = this.#options;
    const ofRoute = lifetimes.byRoute.get(route.pattern);
    const sibling = this.#siblings.get(route.pattern);
    const chosen = firstWithRevalidate(ofRoute, candidate.lifetime, lifetimes.all, sibling);
    if (output.expireTime === undefined) return { revalidate: chosen.revalidate }; // this version knows no such thing
    if (chosen.revalidate === false) return firstOf(chosen, { expire: lifetimes.all.expire });
    return firstOf(
      chosen,
      { expire: lifetimes.all.expire },
      { expire: sibling?.expire },
      { expire: output.expireTime },
    );
  }
}

/** Both of one source: the expiry of one does not suit the freshness of another. */
function firstWithRevalidate(...lifetimes: readonly (Lifetime | undefined)[]): Lifetime {
  return lifetimes.find((lifetime) => lifetime?.revalidate !== undefined) ?? {};
}

/** What the build's own paths of a route live, where they agree. */
function siblingLifetimes(original: PrerenderManifest, notFound: ReadonlySet<string>): Map<string, Lifetime> {
  const lifetimes = new Map<string, Lifetime>();
  for (const [name, { srcRoute, initialRevalidateSeconds, initialExpireSeconds }] of Object.entries(original.routes)) {
    if (!srcRoute || notFound.has(name)) continue;
    const known = lifetimes.get(srcRoute);
    const agrees = !known || known.revalidate === initialRevalidateSeconds;
    lifetimes.set(srcRoute, agrees ? { revalidate: initialRevalidateSeconds, expire: initialExpireSeconds } : {});
  }
  return lifetimes;
}
