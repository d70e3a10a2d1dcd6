import type { Address } from "./address.js";
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
  const { dial, token, timeoutMs } = options;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs).unref();
  let failure: unknown = new IsrdError("unavailable", "there is no address to connect to");
  try {
    for (const address of addresses) {
      try {
        return { transport: await dial(address, { token, signal: abort.signal }), address };
      } catch (error) {
        failure = error;
        if (abort.signal.aborted) break;
      }
    }
    throw failure;
  } finally {
    clearTimeout(timer);
  }
}
