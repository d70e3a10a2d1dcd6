import { IsrdError } from "./errors.js";
import { Status } from "./gen/isrd/v1/cache_pb.js";

/** What this process has counted since it started. */
export interface Counters {
  /** Reads that were asked for. */
  gets: number;
  /** Reads that were answered fresh. */
  hits: number;
  /** Those of them that this process's near cache answered. */
  nearHits: number;
  /** Reads whose answer the near cache held already, so that its body was not sent again. */
  unchanged: number;
  /** Reads that were answered with an old entry. */
  stales: number;
  /** Reads that were answered with nothing. */
  misses: number;
  /** Reads that the fallback answered because the daemon was away. */
  fallbacks: number;
  /** Writes that were asked for. */
  sets: number;
  /** Writes that the daemon did not take. */
  setsRefused: number;
  /** Pages of the build output that were offered to the cache because it had nothing. */
  planted: number;
  /** Leases that were given back because a response ended without a write. */
  releases: number;
  /** Revalidations that were asked for. */
  revalidations: number;
  /** Calls whose deadline passed. */
  timeouts: number;
  /** Calls that failed because the daemon was away. */
  unavailable: number;
  /** Calls that were not sent because the outgoing queue was full. */
  overloads: number;
  /** Answers and entries that could not be read. */
  unreadable: number;
}

export function newCounters(): Counters {
  return {
    gets: 0,
    hits: 0,
    nearHits: 0,
    unchanged: 0,
    stales: 0,
    misses: 0,
    fallbacks: 0,
    sets: 0,
    setsRefused: 0,
    planted: 0,
    releases: 0,
    revalidations: 0,
    timeouts: 0,
    unavailable: 0,
    overloads: 0,
    unreadable: 0,
  };
}

/** A read was answered. */
export function countAnswer(counters: Counters, status: Status): void {
  if (status === Status.HIT) counters.hits += 1;
  else if (status === Status.STALE) counters.stales += 1;
  else counters.misses += 1;
}

/** A call failed. */
export function countFailure(counters: Counters, error: unknown): void {
  const code = error instanceof IsrdError ? error.code : undefined;
  if (code === "timeout") counters.timeouts += 1;
  else if (code === "unavailable") counters.unavailable += 1;
  else if (code === "overloaded") counters.overloads += 1;
  else if (code === "unreadable" || code === undefined) counters.unreadable += 1;
}
