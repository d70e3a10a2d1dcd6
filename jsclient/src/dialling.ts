import type { Address } from "./address.js";
import { within } from "./deadline.js";
import { IsrdError } from "./errors.js";
import type { Dial, Transport } from "./transport.js";

/** How addresses are dialled. */
export interface DiallingOptions {
  readonly dial: Dial;
  readonly token: string | undefined;
  /** For all of them together, in milliseconds. */
  readonly timeoutMs: number;
}

/** A connection, and where it leads. */
export interface Dialled {
  readonly transport: Transport;
  readonly address: Address;
}

/**
 * Connects to the first of these addresses that can be reached. Does not keep the process alive.
 *
 * Rejects with the error of the last one that was tried.
 */
export async function dialFirst(addresses: readonly Address[], options: DiallingOptions): Promise<Dialled> {
  const abort = new AbortController();
  const attempt = dialInTurn(addresses, options, abort.signal);
  try {
    return await within(attempt, options.timeoutMs, () => new Error("late"), { background: true });
  } catch {
    abort.abort();
    return await attempt; // it says why in its own words
  }
}

async function dialInTurn(
  addresses: readonly Address[],
  { dial, token }: DiallingOptions,
  signal: AbortSignal,
): Promise<Dialled> {
  let failure: unknown = new IsrdError("unavailable", "there is no address to connect to");
  for (const address of addresses) {
    try {
      return { transport: await dial(address, { token, signal }), address };
    } catch (error) {
      failure = error;
      if (signal.aborted) break;
    }
  }
  throw failure;
}
