import type { Welcome } from "./gen/isrd/v1/session_pb.js";

/** Sizes that the daemon asks for, in bytes. */
export interface Limits {
  /** Bodies above it travel beside the stream. */
  readonly aside: number;
  /** Entries above it are not taken. */
  readonly maxEntry: number;
}

export const DEFAULT_LIMITS: Limits = { aside: 256 * 1024, maxEntry: 32 * 1024 * 1024 };

/** What a daemon asks for in its welcome; what it leaves out is as usual. */
export function limitsOf({ asideBytes, maxEntryBytes }: Welcome): Limits {
  return {
    aside: Number(asideBytes) || DEFAULT_LIMITS.aside,
    maxEntry: Number(maxEntryBytes) || DEFAULT_LIMITS.maxEntry,
  };
}
