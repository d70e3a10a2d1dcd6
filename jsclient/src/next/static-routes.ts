import { join } from "node:path";
import { readJson } from "./files.js";
import { parseRouteKey, toRoute } from "./key-path.js";

/** Whether a key is that of a route without parameters, in the App Router. */
export type StaticRoutes = (key: string) => boolean;

/** Reads them from a build's output. What cannot be read has none. */
export function findStaticRoutes(distDir: string | undefined): StaticRoutes {
  const file = distDir && join(/* turbopackIgnore: true */ distDir, "app-path-routes-manifest.json");
  const manifest = (file && readJson(file)) || {};
  const routes = new Set(Object.values(manifest).filter((route) => typeof route === "string" && !route.includes("[")));
  return (key) => routes.has(toRoute(parseRouteKey(key).path));
}
