import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Address } from "./address.js";
import type { Memory } from "./following.js";
import type { HelloSchema, ResumeSchema } from "./gen/isrd/v1/session_pb.js";
import type { Work } from "./jobs.js";
import type { Leases } from "./lease.js";
import type { Log } from "./log.js";
import type { Dial } from "./transport.js";

/**
 * What a session is at the moment.
 *
 * - `idle`: nobody has asked for anything yet.
 * - `connecting`: for the first time, or right after a connection that was good; requests wait, within their deadline.
 * - `ready`: in use.
 * - `away`: the daemon cannot be used; requests fail at once, and in the background it is looked for.
 * - `closed`: for ever.
 */
export type SessionState = "idle" | "connecting" | "ready" | "away" | "closed";

type Hello = Extract<MessageInitShape<typeof HelloSchema>, { readonly $typeName?: never }>;

/** What a session needs to know. */
export interface SessionOptions {
  readonly dial: Dial;
  /** Where to look, best first. Asked before each attempt. May throw an IsrdError `address`. */
  readonly addresses: () => readonly Address[];
  /** Makes the greeting, without the protocol; asked anew for each. `resume` is what it says of an earlier session. */
  readonly hello: (resume: MessageInitShape<typeof ResumeSchema> | undefined) => Hello;
  readonly token: string | undefined;
  /** The longest that a request waits for a first sign, connecting included, in milliseconds. */
  readonly timeoutMs: number;
  /** The longest that a revalidation waits for its acknowledgement, in milliseconds. */
  readonly revalidateTimeoutMs: number;
  readonly log: Log;
  /** What events put an end to. */
  readonly memory: Memory;
  /** The leases that the process holds, to be claimed again after the connection broke. */
  readonly leases: Pick<Leases, "claims">;
  /** What the process does for the daemon; the hello says so. Nothing, if undefined. */
  readonly work?: Work | undefined;
  /** Called when the session has become ready, before any request is let through. */
  readonly onReady?: () => void;
  /** Between 0 and 1. @default Math.random */
  readonly random?: () => number;
}
