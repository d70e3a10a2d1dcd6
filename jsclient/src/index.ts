import { type Counters, newCounters } from "./counters.js";
import { peekRuntime } from "./runtime.js";
import type { SessionState } from "./session-options.js";

export type { Counters } from "./counters.js";
export { IsrdError, type IsrdErrorCode } from "./errors.js";
export {
  type RevalidatePathOptions,
  type RevalidationJob,
  type RevalidationOptions,
  type RevalidationRequest,
  type RevalidationResult,
  type RevalidationTag,
  revalidate,
  revalidatePath,
  revalidateTag,
} from "./revalidation.js";
export type { SessionState } from "./session-options.js";
export { VERSION } from "./version.js";

/** What this process's client is doing. */
export interface Status {
  readonly state: SessionState;
  /** Why the state is `away`; empty if it is not. */
  readonly reason: string;
  /** Where the daemon is, or is looked for, such as `unix:///run/isrd/isrd.sock`; empty before the first use. */
  readonly address: string;
  readonly app: string;
  readonly buildId: string;
  /** The place in the app's invalidation log that this process has applied; null before the first connection. */
  readonly position: { readonly epoch: string; readonly seq: string } | null;
  /** Tags that were revalidated here and that the daemon has not acknowledged yet. */
  readonly undelivered: number;
  /** What the entries that are known to be fresh take in the memory of this process, roughly. */
  readonly nearBytes: number;
  readonly counters: Readonly<Counters>;
}

/** What this process's client is doing: for health pages and tests. Connects to nothing. */
export function status(): Status {
  const runtime = peekRuntime();
  if (!runtime) {
    const nothing = { reason: "", address: "", app: "", buildId: "", position: null, undelivered: 0, nearBytes: 0 };
    return { state: "idle", ...nothing, counters: newCounters() };
  }
  const { session, served, client, near } = runtime;
  const position = session.position;
  return {
    state: session.state,
    reason: session.reason,
    address: addressOf(runtime),
    app: served.app,
    buildId: served.build.buildId,
    position: position ? { epoch: String(position.epoch), seq: String(position.seq) } : null,
    undelivered: session.undelivered,
    nearBytes: near.bytes,
    counters: { ...client.counters },
  };
}

/** An address that cannot be understood is the reason why the state is `away`. */
function addressOf({ address }: NonNullable<ReturnType<typeof peekRuntime>>): string {
  try {
    return address();
  } catch {
    return "";
  }
}
