/** A key of a page or route handler, taken apart. */
export interface RouteKey {
  /** As Next.js writes paths in keys: without a query, decoded but for delimiters, `/index` for `/`. */
  readonly path: string;
  /** The kind of the route that owns the path, such as `PAGES`, and the SHA-256 of its source; only in scoped keys. */
  readonly owner: { readonly kind: string; readonly source: string } | undefined;
}

const SCOPED = /^\/route-cache\/([A-Z_]+)\/([0-9a-f]{64})\/\$(\/.*)$/s;

/** Since 15.5.27 and 16.3.8 a key names its owner before the path; before that it is the path. */
export function parseRouteKey(key: string): RouteKey {
  const [, kind, source, path] = SCOPED.exec(key) ?? [];
  if (kind && source && path) return { path, owner: { kind, source } };
  return { path: key, owner: undefined };
}

/** The route of a path, as Next.js makes it of one: what its manifests have. */
export function toRoute(path: string): string {
  return path.replace(/(?:\/index)?\/?$/, "") || "/";
}
