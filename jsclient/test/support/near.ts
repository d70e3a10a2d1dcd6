import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { HostGetContext } from "../../src/next/values.js";
import { FakeDaemon } from "./fake-daemon.js";
import { type FakeHost, startHost } from "./host.js";
import { dialMemory, type MemoryPeer } from "./memory-transport.js";
import { until } from "./until.js";
import { appPage } from "./values.js";

export const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
export const hour = { ...PAGE, cacheControl: { revalidate: 3600, expire: 7200 } };

/** Two processes with one daemon. */
export interface Scene {
  daemon: FakeDaemon;
  peer: MemoryPeer;
  host: FakeHost;
  /** Another process. */
  other: FakeHost;
  /** How many gets the host has sent. */
  asked(): number;
}

/** Starts them; the daemon vouches for a minute, unless it is told another time. The other process has no near cache. */
export function scene(t: TestContext, env: NodeJS.ProcessEnv = {}, validityMs = 60_000): Scene {
  const daemon = new FakeDaemon();
  daemon.validityMs = validityMs;
  const { dial, peer } = dialMemory(daemon);
  const [host, other] = [{ ...env }, { ISRD_NEAR_CACHE_BYTES: "0" }].map((extra) =>
    startHost({ dial, env: { ISRD_TIMEOUT_MS: "500", ...extra } }),
  ) as [FakeHost, FakeHost];
  t.after(() => {
    host.close();
    other.close();
  });
  return { daemon, peer, host, other, asked: () => daemon.frames("get").length };
}

/** The other process has written a page, and the host has read it once. */
export async function read(t: TestContext, tags = "t", validityMs?: number): Promise<Scene & { value: object }> {
  const all = scene(t, {}, validityMs);
  await all.other.handler().get("/p", PAGE);
  await all.other.handler().set("/p", appPage("page", tags), hour);
  const answer = await all.host.handler().get("/p", PAGE);
  assert.ok(answer?.value);
  return { ...all, value: answer.value };
}

/** Waits until a ping that arrives from now on was answered. There must be no other process that pings. */
export async function pong(daemon: FakeDaemon): Promise<void> {
  const before = daemon.frames("ping").length;
  // The second is sent after the first was answered.
  await until("a ping was answered", () => daemon.frames("ping").length >= before + 2);
}
