import { type Counted, EndedCalls, elsewhere, isIn, isOlder, lowered } from "./ended-calls.js";
import { type Position, Space, type Version } from "./gen/isrd/v1/entry_pb.js";
import { type EntryKey, idOf } from "./key.js";
import type { Lease } from "./lease.js";
import { lowestPosition, lowestVersion, notAfter } from "./order.js";

/** Where a request began. The object itself stands for the request: every handler has its own. */
export interface Begin {
  /** Undefined if nothing was known of the log then. */
  readonly position: Position | undefined;
  readonly localSeq: number;
  /** When the request began, by `performance.now()`: its renders began later. */
  readonly at?: number;
  /** When the render began, where that is known, by `performance.now()`: gets that were answered before are its own. */
  readonly since?: number;
  /** What its request had before that. */
  readonly inHand?: InHand;
}

/**
 * Results of `'use cache'` that a request has. Next.js 16 keeps them until the request ends, and gives them, without asking,
 * to functions that the request calls later, also if it was invalidated meanwhile.
 */
export interface InHand {
  /** When the request began, by `performance.now()`: what it called, or joined, it has since. */
  readonly since: number;
  readonly read: readonly ReadResult[];
}

/** A result that was there already, and fresh when it was asked for. */
export interface ReadResult extends Counted {
  readonly key: EntryKey;
  readonly askedAt: number;
  readonly tags: readonly string[];
}

/** A render that a get has set off. */
export interface Render {
  readonly key: EntryKey;
  /** The request whose get it was. */
  readonly begin: Begin;
  /** The base version that the daemon gave with its answer; none if it was away or said nothing. */
  readonly base: Version | undefined;
  /** The connection that the base came over. */
  readonly via?: object | undefined;
  /** The lease to fill the key, if it was granted. */
  readonly lease: Lease | undefined;
  /** How many revalidations this process had seen, for entries that are kept while the daemon is away. */
  readonly localSeq: number;
}

/** What the renders of a key leave to the set that ends them. */
export interface Ended extends Counted {
  /** The lease that the set uses, and that whoever has it must end. */
  readonly lease: Lease | undefined;
  /** What else was granted, to be given back: with Redis failing over, the latest lease need not have the highest token. */
  readonly spare: readonly Lease[];
}

interface OpenRender extends Render {
  readonly openedAt: number;
}

/** A render that takes longer is forgotten; its set counts from the beginning of its request, or from an older render. */
export const RENDER_LIFE_MS = 120_000;
const MAX_KEYS = 10_000;
const MAX_PER_KEY = 64;

/**
 * The renders that are under way in this process, by key. A request may join a render that has been running for a while,
 * so a set must not count from the newest get of its key but from the oldest: it carries the lowest base. A render whose
 * get was not answered has no base, and counts from the beginning of its request.
 */
export class Renders {
  readonly #open = new Map<string, OpenRender[]>();
  readonly #now: () => number;
  readonly #calls: EndedCalls;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#calls = new EndedCalls(RENDER_LIFE_MS, now);
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
    // Those that are left out are the newest, and their own sets count from the beginning of their requests.
    if (renders.length < MAX_PER_KEY) renders.push(opened);
    this.#open.delete(id);
    this.#open.set(id, renders);
    if (this.#open.size > MAX_KEYS) this.#forgetOldest();
    return opened;
  }

  /**
   * A set: ends all renders of the key, and says what the set must carry. The request that sets counts from its own get
   * if that is among them, and from its beginning if it is not: the others may be younger than its render. With content,
   * which has these tags, it counts from the calls too that can be in it. `via` is the connection that the set goes over.
   */
  close(key: EntryKey, begin: Begin, tags?: readonly string[], via?: object): Ended {
    const id = idOf(key);
    const alive = this.#alive(id);
    const renders: Omit<Render, "key">[] = [...alive];
    this.#open.delete(id);
    const { since = Number.NEGATIVE_INFINITY } = begin;
    const asked = alive.some((render) => render.begin === begin || render.openedAt <= since);
    if (!asked) renders.push({ begin, base: undefined, lease: undefined, localSeq: begin.localSeq });
    let counted: Counted = {
      ...lowestOf(renders, via),
      localSeq: Math.min(...renders.map(({ localSeq }) => localSeq)),
    };
    if (tags) {
      const startedAt =
        begin.since ?? (asked ? Math.min(...alive.map(({ openedAt }) => openedAt)) : (begin.at ?? since));
      const { inHand } = begin;
      const had = inHand?.read.filter((it) => it.askedAt < startedAt && idOf(it.key) !== id) ?? [];
      const within = [
        ...this.#calls.within(Math.min(startedAt, inHand?.since ?? startedAt), id, tags, via),
        ...had.filter((it) => isOlder(it, counted) && isIn(it, tags)),
      ];
      counted = within.reduce(lowered, counted);
      if (key.space === Space.USE_CACHE) this.#calls.add(id, counted, tags, via);
    }
    return { ...counted, ...leasesOf(alive) };
  }

  /** The set of a call is over: until now Next.js has let renders join the call, also those that began after its end. */
  settle(key: EntryKey, counted: Counted, tags: readonly string[], via?: object): void {
    if (key.space === Space.USE_CACHE) this.#calls.add(idOf(key), counted, tags, via);
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

/** Of several leases the one with the highest token is used: it lets the set through. */
function leasesOf(renders: readonly Pick<Render, "lease">[]): Pick<Ended, "lease" | "spare"> {
  const spare: Lease[] = [];
  let latest: Lease | undefined;
  for (const { lease } of renders) {
    if (!lease) continue;
    const [later, earlier] = !latest || lease.token > latest.token ? [lease, latest] : [latest, lease];
    if (earlier) spare.push(earlier);
    latest = later;
  }
  return { lease: latest, spare };
}

/** From where a render counts, for this connection. */
function countedOf(
  { base, via, begin }: Omit<Render, "key">,
  to: object | undefined,
): Pick<Counted, "base" | "position"> {
  if (!base) return { base, position: begin.position };
  return via === to ? { base, position: undefined } : elsewhere({ base, position: undefined });
}

function lowestOf(renders: readonly Omit<Render, "key">[], to: object | undefined): Pick<Counted, "base" | "position"> {
  const counted = renders.map((render) => countedOf(render, to));
  const nowhere = counted.find(({ base, position }) => !base && !position);
  if (nowhere) return nowhere;
  const base = lowest(lowestVersion, ...counted.map((one) => one.base));
  const position = lowest(lowestPosition, ...counted.map((one) => one.position));
  // The token only orders what counts from the same place, and the lowest that was granted is the careful choice.
  return { base: base && position ? notAfter(base, position) : base, position };
}

function lowest<T>(lower: (a: T, b: T) => T, ...given: (T | undefined)[]): T | undefined {
  return given.reduce((a, b) => (a && b ? lower(a, b) : (a ?? b)), undefined);
}
