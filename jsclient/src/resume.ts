import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Position } from "./gen/isrd/v1/entry_pb.js";
import type { LeaseClaim, ResumeSchema, Welcome } from "./gen/isrd/v1/session_pb.js";
import type { Lease, Leases } from "./lease.js";
import type { Release } from "./releases.js";

/** What one hello says of the session before. */
export interface Offer {
  /** For the hello; nothing where there was no session. */
  readonly resume?: MessageInitShape<typeof ResumeSchema>;
  readonly claimed: readonly Lease[];
}

/** Continues sessions that broke: offers what this process had, and learns what is left of it. */
export class Resume {
  readonly #leases: Pick<Leases, "claims">;
  #sessionId = "";

  constructor(leases: Pick<Leases, "claims">) {
    this.#leases = leases;
  }

  /** For a hello that is sent now. */
  offer(position: Position | undefined): Offer {
    if (this.#sessionId === "" || !position) return { claimed: [] };
    const claimed = this.#leases.claims();
    const leases = claimed.map(({ key, token }) => ({ key, leaseToken: token }));
    return { resume: { sessionId: this.#sessionId, position, leases }, claimed };
  }

  /**
   * The welcome to a hello with this offer: leases that were claimed get the token that they have now, or are lost.
   * Returns those that nobody in this process fills any more, to be given back.
   */
  welcomed({ sessionId, leases }: Pick<Welcome, "sessionId" | "leases">, { claimed }: Offer): Release[] {
    this.#sessionId = sessionId;
    const unwanted: Release[] = [];
    for (const lease of claimed) {
      const granted = leases.find((claim) => isFor(claim, lease))?.grantedToken ?? 0n;
      lease.token = granted;
      if (!lease.open && granted !== 0n) unwanted.push({ key: lease.key, leaseToken: granted });
    }
    return unwanted;
  }
}

function isFor({ key, leaseToken }: LeaseClaim, lease: Lease): boolean {
  return leaseToken === lease.token && key?.space === lease.key.space && key.name === lease.key.name;
}
