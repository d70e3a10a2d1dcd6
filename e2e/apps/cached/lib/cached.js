import * as cache from "next/cache";
import { beginRender } from "./origin";

// Without a prefix since 16.
const cacheLife = cache["cacheLife"] ?? cache["unstable_cacheLife"];
const cacheTag = cache["cacheTag"] ?? cache["unstable_cacheTag"];

/** A result that lives for an hour; the origin counts its calls as renders of `/hour/<id>`. */
export async function hour(id) {
  "use cache";
  cacheLife("hour");
  cacheTag(`hour:${id}`);
  return await beginRender(`/hour/${id}`);
}

/** One that is stale after two seconds. */
export async function short(id) {
  "use cache";
  cacheLife("short");
  return await beginRender(`/short/${id}`);
}

/** One that is stale after a second and gone after a minute: too short-lived for a shell. */
export async function brief(id) {
  "use cache";
  cacheLife("seconds");
  return await beginRender(`/brief/${id}`);
}

/** One for `'use cache: remote'`. */
export async function remote(id) {
  "use cache: remote";
  cacheLife("hour");
  return await beginRender(`/remote/${id}`);
}

/** One whose value fails half-way: its head is there when the origin refuses the rest. */
// biome-ignore lint/suspicious/useAwait: Next.js wants cached functions to be async.
export async function broken(id) {
  "use cache";
  cacheLife("hour");
  return { head: id, tail: beginRender(`/broken/${id}`) };
}

/** One with another inside. */
export async function outer(id) {
  "use cache";
  cacheLife("hour");
  const inner = await hour(id);
  const own = await beginRender(`/outer/${id}`);
  return { ...own, inner };
}

/** One that calls the other when it has begun. */
export async function late(id) {
  "use cache";
  cacheLife("hour");
  const own = await beginRender(`/late/${id}`);
  const inner = await hour(id);
  return { ...own, inner };
}
