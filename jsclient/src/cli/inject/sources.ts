import type { Lifetime } from "./lifetimes.js";

/** A URL, path or key that somebody knows of. */
export interface Candidate {
  readonly text: string;
  /** It is a cache key: decoded, without a base path. */
  readonly isKey?: boolean;
  /** The lifetime that it is known to have. */
  readonly lifetime?: Lifetime;
}

/** Where candidates come from. Reads as it is asked, so that nothing has to be held at once. */
export type Source = AsyncIterable<Candidate>;

/** What a source may cost. */
export interface Bounds {
  /** Bytes of one document, unpacked. */
  readonly maxBytes: number;
  /** Until an HTTP server has begun to answer, and between two pieces of its answer. */
  readonly timeoutMs: number;
}
