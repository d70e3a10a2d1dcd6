import type { Space, Version } from "./gen/isrd/v1/entry_pb.js";
import { lowestVersion } from "./order.js";

/** A key without the parts that the session's greeting gives. */
export interface EntryKey {
  readonly space: Space;
  readonly name: string;
}

/** A render that a get has set off: what its set must carry. */
export interface Render {
  readonly key: EntryKey;
  /** The base version that the daemon gave with its answer; none if it was away. */
  readonly base: Version | undefined;
  /** The lease to fill the key; 0 if there is none. */
  readonly leaseToken: bigint;
  /** How many revalidations this process had seen, for entries that are kept while the daemon is away. */
  readonly localSeq: number;
}

interface OpenRender extends Render {
  readonly openedAt: number;
}

/** A render that takes longer is forgotten; its set counts from the beginning of its request. */
export const RENDER_LIFE_MS = 120_000;
const MAX_KEYS = 10_000;
const MAX_PER_KEY = 64;

/**
 * The renders that are under way in this process, by key. A request may join a render that has been running for a while,
 * so a set must not count from the newest get of its key but from the oldest: it carries the lowest base.
 */
export class Renders {
  readonly #open = new Map<string, OpenRender[]>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** How many keys are being rendered. */
  get size(): number {
    return this.#open.size;
  }

  /** A get was answered in a way that makes Next.js render. */
  open(render: Render): Render {
    const id = idOf(render.key);
    const opened = { ...render, openedAt: this.#now() };
    const renders = this.#alive(id);
    // Those that are left out are the newest: the lowest base is among the others.
    if (renders.length < MAX_PER_KEY) renders.push(opened);
    this.#open.delete(id);
    this.#open.set(id, renders);
    if (this.#open.size > MAX_KEYS) this.#forgetOldest();
    return opened;
  }

  /** A set: ends all renders of the key, and says what the set must carry. Undefined if none was open. */
  close(key: EntryKey): Render | undefined {
    const id = idOf(key);
    const renders = this.#alive(id);
    this.#open.delete(id);
    return renders.reduce<Render | undefined>((all, render) => (all ? combine(all, render) : render), undefined);
  }

  /** The render has ended without a set. Returns false if it was over before. */
  drop(render: Render): boolean {
    const id = idOf(render.key);
    const renders = this.#open.get(id);
    const index = renders?.indexOf(render as OpenRender) ?? -1;
    if (!renders || index < 0) return false;
    renders.splice(index, 1);
    if (renders.length === 0) this.#open.delete(id);
    return true;
  }

  #alive(id: string): OpenRender[] {
    const oldest = this.#now() - RENDER_LIFE_MS;
    return this.#open.get(id)?.filter((render) => render.openedAt >= oldest) ?? [];
  }

  #forgetOldest(): void {
    const [oldest] = this.#open.keys();
    if (oldest !== undefined) this.#open.delete(oldest);
  }
}

function combine(a: Render, b: Render): Render {
  return {
    key: a.key,
    base: lowestVersion(a.base, b.base),
    leaseToken: newest(a.leaseToken, b.leaseToken),
    localSeq: Math.min(a.localSeq, b.localSeq),
  };
}

/** Of two leases the later is the one that may still be held. */
function newest(a: bigint, b: bigint): bigint {
  if (a < b) return b;
  return a;
}

function idOf({ space, name }: EntryKey): string {
  return `${space}:${name}`;
}
