import type { Welcome } from "./gen/isrd/v1/session_pb.js";

/** What the daemon asks for. */
export interface Limits {
  /** Bodies of more bytes travel beside the stream. */
  readonly aside: number;
  /** Entries of more bytes are not taken. */
  readonly maxEntry: number;
  /** Pause between two heartbeats, in milliseconds. */
  readonly pingMs: number;
  /** The longest that a read of data waits for somebody else's render, in milliseconds. */
  readonly dataWaitMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  aside: 256 * 1024,
  maxEntry: 32 * 1024 * 1024,
  pingMs: 1000,
  dataWaitMs: 1000,
};

/** What a daemon asks for in its welcome; what it leaves out is as usual. */
export function limitsOf({ asideBytes, maxEntryBytes, pingIntervalMs, fetchWaitLimitMs }: Welcome): Limits {
  return {
    aside: Number(asideBytes) || DEFAULT_LIMITS.aside,
    maxEntry: Number(maxEntryBytes) || DEFAULT_LIMITS.maxEntry,
    pingMs: pingIntervalMs || DEFAULT_LIMITS.pingMs,
    dataWaitMs: fetchWaitLimitMs || DEFAULT_LIMITS.dataWaitMs,
  };
}
