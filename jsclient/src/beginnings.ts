import type { Memory } from "./following.js";
import type { Position } from "./gen/isrd/v1/entry_pb.js";
import type { Event } from "./gen/isrd/v1/session_pb.js";
import type { Begin } from "./renders.js";

interface Moment {
  readonly at: number;
  readonly position: Position | undefined;
  readonly localSeq: number;
}

const MAX_MOMENTS = 1000;

/**
 * What this process knew of the log at any time of late: for content that says itself when its render began. It is told
 * what the memory is told, and passes it on.
 */
export class Beginnings implements Memory {
  readonly #memory: Memory;
  readonly #now: () => number;
  /** What was known and since when, oldest first. */
  readonly #moments: Moment[] = [];

  /** The clock counts milliseconds and never jumps. */
  constructor(memory: Memory, now: () => number = () => performance.now()) {
    this.#memory = memory;
    this.#now = now;
  }

  /** Where a render began, by this clock. Of what is long ago nothing is known. */
  at(time: number): Begin {
    const since = Math.min(time, this.#now());
    const { position, localSeq } = this.#moments.findLast(({ at }) => at <= since) ?? {
      position: undefined,
      localSeq: 0,
    };
    return { position, localSeq, since };
  }

  /** This process has revalidated, so many times by now. */
  revalidated(localSeq: number): void {
    this.#note(this.#moments.at(-1)?.position, localSeq);
  }

  apply(events: readonly Event[]): void {
    this.#memory.apply(events);
    for (const { position } of events) this.#reached(position);
  }

  reached(position: Position): void {
    this.#memory.reached(position);
    this.#reached(position);
  }

  reset(position: Position | undefined): void {
    this.#memory.reset(position);
    this.#reached(position);
  }

  #reached(position: Position | undefined): void {
    const last = this.#moments.at(-1);
    if (last && position?.epoch === last.position?.epoch && position?.seq === last.position?.seq) return;
    this.#note(position, last?.localSeq ?? 0);
  }

  #note(position: Position | undefined, localSeq: number): void {
    this.#moments.push({ at: this.#now(), position, localSeq });
    if (this.#moments.length > MAX_MOMENTS) this.#moments.shift();
  }
}
