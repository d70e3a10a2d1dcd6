import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { IsrdError } from "../../src/errors.js";
import type { HostGetContext } from "../../src/next/values.js";
import { FakeDaemon } from "./fake-daemon.js";
import { type FakeHost, startHost } from "./host.js";
import { dialMemory, type MemoryPeer } from "./memory-transport.js";
import { appPage } from "./values.js";

export const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
export const hour = { ...PAGE, cacheControl: { revalidate: 3600, expire: 7200 } };
export const ABSENT = new IsrdError("unavailable", "nobody listens");

export interface Scene {
  daemon: FakeDaemon;
  host: FakeHost;
  peer: MemoryPeer;
}

export function scene(
  t: TestContext,
  env: NodeJS.ProcessEnv = {},
  prepare?: (daemon: FakeDaemon, peer: MemoryPeer) => void,
): Scene {
  const daemon = new FakeDaemon();
  const { dial, peer } = dialMemory(daemon);
  prepare?.(daemon, peer);
  // The near cache has tests of its own; here every get is to reach the session.
  const host = startHost({ dial, env: { ISRD_TIMEOUT_MS: "300", ISRD_NEAR_CACHE_BYTES: "0", ...env } });
  t.after(() => host.close());
  return { daemon, host, peer };
}

/** A session that is ready and has one page. */
export async function ready(t: TestContext, env: NodeJS.ProcessEnv = {}): Promise<Scene> {
  const all = scene(t, env);
  await all.host.handler().get("/page", PAGE);
  await all.host.handler().set("/page", appPage("page"), hour);
  assert.equal(all.host.runtime.session.state, "ready");
  return all;
}
