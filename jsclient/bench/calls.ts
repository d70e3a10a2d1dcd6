/**
 * What gets and sets cost the main thread of a Next.js process: node:perf_hooks' event-loop utilisation, so that time in which
 * the thread waits for the daemon does not count. The daemon is the real one, in a process of its own.
 *
 *   npm run bench -w isrd [-- seconds-per-row]
 */
import { performance } from "node:perf_hooks";
import { dialGrpc } from "../src/grpc-transport.js";
import type { HostGetContext } from "../src/next/values.js";
import { startHost } from "../test/support/host.js";
import { startRealDaemon } from "../test/support/real-daemon.js";
import { pageOf } from "./page.js";

const PAGE = { kind: "APP_PAGE", isFallback: false } satisfies HostGetContext;
const seconds = Number(process.argv[2] ?? 2);

const daemon = await startRealDaemon();
// Every get is to reach the daemon; what the near cache costs is in near.ts.
const env = { ISRD_ADDRESS: daemon.address, ISRD_TIMEOUT_MS: "5000", ISRD_NEAR_CACHE_BYTES: "0" };
const host = startHost({ dial: dialGrpc, env });

async function measure(name: string, concurrency: number, run: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < 300; i++) await run();
  const before = performance.eventLoopUtilization();
  const startedAt = performance.now();
  let count = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - startedAt < seconds * 1000) {
      await run();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const elapsed = performance.now() - startedAt;
  const active = performance.eventLoopUtilization(before).active;
  const perCall = (active * 1000) / count;
  const row = [
    name.padEnd(16),
    String(concurrency).padStart(3),
    perCall.toFixed(1).padStart(9),
    Math.round((count * 1000) / elapsed),
  ];
  console.log(`${row.join("  ")}`);
}

console.log(`Node ${process.version}; main-thread µs per call, calls per second\n`);
console.log("call             ×con  µs/call  calls/s");
for (const [kilobytes, currency] of [[1], [28], [120], [120, "€"]] as const) {
  const key = `/bench/${kilobytes}${currency ?? ""}`;
  const page = pageOf(kilobytes * 1024, currency);
  await host.handler().get(key, PAGE);
  await host.handler().set(key, page, { ...PAGE, cacheControl: { revalidate: 3600 } });
  for (const concurrency of [1, 16]) {
    await measure(`get ${kilobytes} KB ${currency ?? ""}`, concurrency, async () => {
      if (!(await host.handler().get(key, PAGE))) throw new Error("a miss is not what is measured here");
    });
  }
  await measure(`set ${kilobytes} KB ${currency ?? ""}`, 1, () =>
    host.handler().set(key, page, { ...PAGE, cacheControl: { revalidate: 3600 } }),
  );
}

host.close();
await daemon.stop();
