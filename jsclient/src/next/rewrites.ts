/** What of an app's routing decides whether Next.js passes a request on to another host, with all of its headers. */
export interface Rewrites {
  /** By when Next.js looks at them. Those whose conditions no job's request can meet are left out. */
  readonly beforeFiles: readonly Rule[];
  readonly afterFiles: readonly Rule[];
  readonly fallback: readonly Rule[];
  /** Pages without parameters: they come before `afterFiles`. */
  readonly pages: readonly RegExp[];
  /** Pages with parameters: they come before `fallback`. */
  readonly patterns: readonly RegExp[];
  /** Those of them that have no other paths than `prerendered` (`fallback: false`, `dynamicParams = false`). */
  readonly closed: readonly RegExp[];
  readonly prerendered: ReadonlySet<string>;
}

interface Rule {
  readonly regex: RegExp;
  /** It applies wherever it matches. */
  readonly sure: boolean;
  /** The path that it makes of one, by what the expression has found; undefined: another host's, or nobody knows. */
  readonly to: (found: readonly string[]) => string | undefined;
}

/** A path in the ways in which rules may have it, and without basePath and locale, as pages have it. */
export interface Forms {
  readonly paths: readonly string[];
  readonly page: string;
}

/** What this needs of `routes-manifest.json`. */
export interface RoutesManifest {
  readonly rewrites?: readonly Rewrite[] | Stages;
  readonly staticRoutes?: readonly Page[];
  readonly dynamicRoutes?: readonly Page[];
}

/** What this needs of `prerender-manifest.json`. */
export interface PrerenderManifest {
  readonly routes?: Record<string, unknown>;
  readonly dynamicRoutes?: Record<string, { readonly fallback?: string | false | null }>;
}

interface Stages {
  readonly beforeFiles?: readonly Rewrite[];
  readonly afterFiles?: readonly Rewrite[];
  readonly fallback?: readonly Rewrite[];
}

interface Page {
  readonly page: string;
  readonly regex: string;
}

interface Rewrite {
  readonly source: string;
  readonly destination: string;
  readonly regex: string;
  readonly has?: readonly Condition[];
  readonly missing?: readonly Condition[];
}

interface Condition {
  readonly type: string;
  readonly key?: string;
  readonly value?: string;
}

/** Undefined: no rewrite leads to another host. */
export function findRewrites(routes: RoutesManifest, prerender: PrerenderManifest): Rewrites | undefined {
  const { rewrites = [], staticRoutes = [], dynamicRoutes = [] } = routes;
  const stages: Stages = Array.isArray(rewrites) ? { afterFiles: rewrites as Rewrite[] } : (rewrites as Stages);
  const all = Object.values(stages).flat() as Rewrite[];
  if (!all.some(({ destination }) => isOutside(destination))) return undefined;
  const rulesOf = (some: readonly Rewrite[] = []): Rule[] =>
    some.filter(({ has = [] }) => has.every(canHold)).map(ruleOf);
  const isClosed = ({ page }: Page): boolean => prerender.dynamicRoutes?.[page]?.fallback === false;
  return {
    beforeFiles: rulesOf(stages.beforeFiles),
    afterFiles: rulesOf(stages.afterFiles),
    fallback: rulesOf(stages.fallback),
    pages: staticRoutes.map(regexOf),
    patterns: dynamicRoutes.filter((page) => !isClosed(page)).map(regexOf),
    closed: dynamicRoutes.filter(isClosed).map(regexOf),
    prerendered: new Set(Object.keys(prerender.routes ?? {})),
  };
}

/** Whether the request for a path may be passed on. Where that cannot be told for sure, it may. */
export function leadsOutside(rewrites: Rewrites, path: string, formsOf: (path: string) => Forms): boolean {
  const { beforeFiles, afterFiles, fallback, pages, patterns, closed, prerendered } = rewrites;
  const isPage = ({ page }: Forms): boolean => pages.some((rule) => rule.test(page));
  const isAnyPage = (forms: Forms): boolean =>
    isPage(forms) ||
    patterns.some((rule) => rule.test(forms.page)) ||
    (closed.some((rule) => rule.test(forms.page)) && spellings(forms).some((one) => prerendered.has(one)));
  const fallbacks = (forms: Forms): boolean =>
    !isAnyPage(forms) && follow(fallback, forms, formsOf, { stop: isAnyPage, next: () => false });
  const afters = (forms: Forms): boolean =>
    !isPage(forms) && follow(afterFiles, forms, formsOf, { stop: isAnyPage, next: fallbacks });
  return follow(beforeFiles, formsOf(path), formsOf, { stop: () => false, next: afters });
}

/** Applies rules, one after the other; what has become a page stops there. */
function follow(
  rules: readonly Rule[],
  forms: Forms,
  formsOf: (path: string) => Forms,
  how: { stop: (forms: Forms) => boolean; next: (forms: Forms) => boolean },
): boolean {
  const [rule, ...others] = rules;
  if (!rule) return how.next(forms);
  const match = spellings(forms)
    .map((path) => rule.regex.exec(path))
    .find((one) => one !== null);
  if (!match) return follow(others, forms, formsOf, how);
  const path = rule.to(match.slice(1).map((part) => part ?? ""));
  if (path === undefined) return true;
  const then = formsOf(path);
  if (!how.stop(then) && follow(others, then, formsOf, how)) return true;
  return !rule.sure && follow(others, forms, formsOf, how);
}

function spellings({ paths, page }: Forms): string[] {
  return [...new Set([...paths, page].flatMap((path) => [path, decoded(path)]))];
}

function ruleOf(rewrite: Rewrite): Rule {
  const { source, destination, has = [], missing = [] } = rewrite;
  const regex = regexOf(rewrite);
  const names = isOutside(destination) ? undefined : namesOf(source);
  const groups = (new RegExp(`${regex.source}|`).exec("")?.length ?? 1) - 1;
  const [template = ""] = destination.split(/[?#]/);
  const to = (found: readonly string[]): string | undefined => {
    if (!names || names.length !== groups) return undefined;
    let known = true;
    const path = template.replace(/:([A-Za-z0-9_]+)[*+?]?/g, (_all, name: string) => {
      const at = names.indexOf(name);
      known &&= at >= 0;
      return found[at] ?? "";
    });
    return known ? path.replace(/\/{2,}/g, "/") : undefined;
  };
  return { regex, sure: has.length === 0 && missing.length === 0, to };
}

/** The names of what an expression finds, in their order; undefined if some has none. */
function namesOf(source: string): string[] | undefined {
  const names: string[] = [];
  for (let at = 0; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === "(") return undefined;
    else if (source[at] === ":") {
      const name = /^\w+/.exec(source.slice(at + 1))?.[0] ?? "";
      names.push(name);
      at += name.length;
      if (source[at + 1] === "(") at = endOfGroup(source, at + 1);
    }
  }
  return names;
}

function endOfGroup(source: string, from: number): number {
  let depth = 0;
  for (let at = from; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === "(") depth++;
    else if (source[at] === ")" && --depth === 0) return at;
  }
  return source.length;
}

function isOutside(destination: string): boolean {
  return !/^\/(?!\/)/.test(destination);
}

/** Names of headers that the request of a job has, or that Next.js adds. */
const SENT =
  /^(?:host|connection|accept|accept-encoding|user-agent|x-prerender-.*|x-isrd-job|x-forwarded-.*|x-nextjs-data)$/i;

/** Whether the request of a job can meet a condition: it goes to localhost, and has neither cookies nor a query. */
function canHold({ type, key = "", value }: Condition): boolean {
  switch (type) {
    case "cookie":
    case "query":
      return false;
    case "header":
      return SENT.test(key);
    case "host":
      return value === undefined || regexOf({ regex: `^${value}$` }).test("localhost");
    default:
      return true;
  }
}

/** Next.js does not look at the case of letters. What is no expression here may match anything. */
function regexOf({ regex }: { readonly regex: string }): RegExp {
  try {
    return new RegExp(regex, "i");
  } catch {
    return /(?:)/;
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
