/**
 * What it costs the main thread to serve an entry from the near cache: the lookup alone, and a whole get of the handler
 * with all that Next.js is told. Compare with the gets of calls.ts, which ask the daemon.
 *
 *   npm run bench -w isrd
 */
import { dialGrpc } from "../src/grpc-transport.js";
import type { HostGetContext } from "../src/next/values.js";
import { startHost } from "../test/support/host.js";
import { startRealDaemon } from "../test/support/real-daemon.js";
import { pageOf } from "./page.js";

const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
const ROUNDS = 200;
const CALLS = 1000;

const daemon = await startRealDaemon();
const host = startHost({ dial: dialGrpc, env: { ISRD_ADDRESS: daemon.address, ISRD_TIMEOUT_MS: "5000" } });

/** Between two rounds the heartbeats get their turn; only the rounds count. */
async function measure(round: () => unknown): Promise<string> {
  let spentMs = 0;
  for (let i = 0; i < ROUNDS + 20; i++) {
    const startedAt = performance.now();
    await round();
    if (i >= 20) spentMs += performance.now() - startedAt;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return ((spentMs * 1000) / (ROUNDS * CALLS)).toFixed(2).padStart(9);
}

console.log("page        lookup   get of the handler   (µs)");
for (const kilobytes of [1, 28, 120]) {
  const name = `/bench/${kilobytes}`;
  const key = { space: 1, name } as const;
  await host.handler().get(name, PAGE);
  await host.handler().set(name, pageOf(kilobytes * 1024), { ...PAGE, cacheControl: { revalidate: 3600 } });
  const lookup = await measure(() => {
    for (let i = 0; i < CALLS; i++) if (!host.runtime.near.get(key, [])) throw new Error("it is not in the near cache");
  });
  const before = host.runtime.client.counters;
  const [gets, nearHits] = [before.gets, before.nearHits];
  const whole = await measure(async () => {
    for (let i = 0; i < CALLS; i++) await host.handler().get(name, PAGE);
  });
  const { counters } = host.runtime.client;
  const share = (counters.nearHits - nearHits) / (counters.gets - gets);
  if (share < 0.99) throw new Error(`only ${(share * 100).toFixed(1)} % were served from the near cache`);
  console.log(`${`${kilobytes} KB`.padEnd(8)}${lookup}  ${whole}`);
}

host.close();
await daemon.stop();
