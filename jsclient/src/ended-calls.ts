import type { Position, Version } from "./gen/isrd/v1/entry_pb.js";
import { comparePositions, lowestPosition, notAfter, placeOf } from "./order.js";

/** From where content counts. */
export interface Counted {
  /** The version that a set must carry; never newer than what the content can have seen. */
  readonly base: Version | undefined;
  /**
   * Stands in for `base` where no get was answered. If both are undefined, nobody knows what the content has seen; if both
   * are there, the token says nothing of when the content was begun: one of the renders had no base, or its base is of a
   * daemon that need not know what the one that gets the set has been told.
   */
  readonly position: Position | undefined;
  readonly localSeq: number;
}

/** A token is a time in microseconds, and its last digits tell it from others of the same millisecond. */
const ENDINGS = 1000n;

/** What has joined a call counts from no later than the call. */
export function lowered(own: Counted, call: Counted): Counted {
  const localSeq = Math.min(own.localSeq, call.localSeq);
  if (isNowhere(own) || isNowhere(call)) return { base: undefined, position: undefined, localSeq };
  let { base, position } = own;
  if (call.position) position = position ? lowestPosition(position, call.position) : call.position;
  if (call.base && base) base = before(base, call.base);
  else if (call.base && position) position = notAfter(position, call.base);
  return { base: base && position ? notAfter(base, position) : base, position, localSeq };
}

/** For another connection than the one that it came over, the token of a version says nothing. */
export function elsewhere({ base, position }: Pick<Counted, "base" | "position">): Pick<Counted, "base" | "position"> {
  if (!base) return { base, position };
  const place = placeOf(base);
  return { base, position: position ? lowestPosition(position, place) : place };
}

/** Whether something counts from an earlier place of the log than something else. */
export function isOlder(it: Counted, than: Counted): boolean {
  const place = it.position ?? it.base;
  return !place || [than.base, than.position].some((other) => other && comparePositions(place, other) < 0);
}

/** Whether a result can be in what has these tags: that has all tags of what is in it. */
export function isIn(result: { readonly tags: readonly string[] }, tags: readonly string[]): boolean {
  return result.tags.every((tag) => tags.includes(tag));
}

function isNowhere({ base, position }: Counted): boolean {
  return !base && !position;
}

/** A version, not later than another key's. It keeps the ending of its own token: no other of its key has it. */
function before(own: Version, other: Version): Version {
  const [mine, theirs] = [own.token / ENDINGS, other.token / ENDINGS];
  if ((comparePositions(own, other) || (mine <= theirs ? -1 : 1)) < 0) return own;
  return { ...other, token: theirs * ENDINGS + (own.token % ENDINGS) };
}

/** A call of a function with `'use cache'` that is over. */
interface EndedCall extends Counted {
  /** Its key. */
  readonly id: string;
  readonly endedAt: number;
  /** The connection that it counted for. */
  readonly via: object | undefined;
  readonly tags: readonly string[];
}

/** A call that is forgotten too early is taken for one that nothing has joined; so this is more than a process calls. */
const MAX_CALLS = 20_000;

/**
 * The calls of late, for renders that may have joined them. Next.js 16 lets a render join the call of another request
 * that is running in its process, and asks no handler: so a render that began after a revalidation can have a result from
 * before it (`crossRequestPendingCacheInvocations` in its use-cache-wrapper). What such a render makes is as old as the call.
 */
export class EndedCalls {
  readonly #lifeMs: number;
  readonly #now: () => number;
  /** In the order of their ends. */
  readonly #calls: EndedCall[] = [];

  /** A render that takes longer than `lifeMs` is forgotten, and need not be known to have joined anything. */
  constructor(lifeMs: number, now: () => number) {
    this.#lifeMs = lifeMs;
    this.#now = now;
  }

  /** The call of a key is over. Its result has these tags, and counts so for this connection. */
  add(id: string, { base, position, localSeq }: Counted, tags: readonly string[], via: object | undefined): void {
    const endedAt = this.#now();
    this.#calls.push({ id, endedAt, via, tags, base, position, localSeq });
    const alive = this.#calls.findIndex((call) => call.endedAt >= endedAt - this.#lifeMs);
    this.#calls.splice(0, Math.max(alive, this.#calls.length - MAX_CALLS));
  }

  /**
   * Those whose results can be in what was made of this key since then, and has these tags: it has all tags of what is in
   * it. As they count for this connection.
   */
  within(since: number, id: string, tags: readonly string[], via: object | undefined): readonly Counted[] {
    const from = this.#calls.findLastIndex((call) => call.endedAt < since) + 1;
    const joined = this.#calls.slice(from).filter((call) => call.id !== id && isIn(call, tags));
    return joined.map((call) => (call.via === via ? call : { ...call, ...elsewhere(call) }));
  }
}
