import type { EntryLifetime, FallbackReading } from "./fallback.js";
import { type GetResponse, Reason, Status } from "./gen/isrd/v1/cache_pb.js";
import { type Build, type Entry, Kind, type Lifetime, type Version } from "./gen/isrd/v1/entry_pb.js";
import type { EntryKey } from "./key.js";
import type { NearEntry, NearFill } from "./near-cache.js";
import type { Begin, Render } from "./renders.js";
import type { EntryDraft } from "./serialize.js";

/** A get. */
export interface Read {
  readonly key: EntryKey;
  /** Tags of the reader, judged but not stored. */
  readonly softTags: readonly string[];
  /** The caller renders in any case: it needs a base version, and overrides a lease. */
  readonly onDemand: boolean;
  /** The caller will not regenerate what it gets stale. */
  readonly noLease: boolean;
  /** Where the request began; its render counts from there if the get is not answered. */
  readonly begin: Begin;
}

/** The answer of a get. */
export interface Answer {
  readonly status: Status;
  readonly reason: Reason;
  /** The entry as it came from the daemon. */
  readonly entry?: Entry;
  /** The entry as Next.js had given or got it, from the memory of this process. */
  readonly kept?: { readonly value: object | null };
  /** The version of the entry; none in the fallback. */
  readonly version?: Version;
  readonly ageMs: number;
  readonly lifetime: EntryLifetime;
  /** This caller is the one to regenerate: it has the lease, or nobody else can be asked. */
  readonly leased: boolean;
  /** The render that is now open; a set ends it. */
  readonly render?: Render;
  /** The near cache may keep the entry's value, once it is known. */
  readonly fill?: NearFill;
}

/** A set. */
export interface Write {
  readonly key: EntryKey;
  readonly draft: EntryDraft;
  /** The value that the draft was made of, for the fallback. */
  readonly value: object | null;
  readonly lifetime: EntryLifetime;
  readonly tags: readonly string[];
  /** Where the request began; the same object as in its gets. */
  readonly begin: Begin;
  /** How old its content is already. @default 0 */
  readonly ageMs?: number;
}

/** Which app and build this process serves: what a call beside the session must say itself. */
export interface Identity {
  readonly app: string;
  readonly build: Pick<Build, "buildId" | "deploymentId">;
}

/** Nothing to serve, and nobody who could say why. */
export const MISS: Answer = { status: Status.MISS, reason: Reason.UNSPECIFIED, ageMs: 0, lifetime: {}, leased: false };

/** The answer of a daemon, with the render that it has set off. */
export function toAnswer(response: GetResponse, render: Render | undefined): Answer {
  const { status, reason, entry, version, ageMs, lease } = response;
  return {
    status,
    reason,
    ...(entry ? { entry } : {}),
    ...(version ? { version } : {}),
    ageMs: Number(ageMs) + (entry ? ageWhenWritten(entry) : 0),
    lifetime: fromLifetime(entry?.lifetime),
    leased: lease !== undefined,
    ...(render ? { render } : {}),
  };
}

/** What was held is still the answer; its metadata may be in the response. */
export function toUnchanged(answer: Answer, held: NearEntry): Answer {
  const { entry, ...rest } = answer;
  const lifetime = entry ? answer.lifetime : held.lifetime;
  return { ...rest, kept: { value: held.value }, lifetime };
}

/** What the near cache has is the answer. */
export function toNear({ value, version, lifetime, bornAt }: NearEntry, now: number): Answer {
  return {
    ...{ status: Status.HIT, reason: Reason.UNSPECIFIED, kept: { value }, version },
    ...{ ageMs: now - bornAt, lifetime, leased: false },
  };
}

/** What this process has kept while the daemon is away. Nobody else can be asked to renew it. */
export function toKept({ entry, stale, ageMs }: FallbackReading, renewed: boolean, render?: Render): Answer {
  return {
    ...{ status: stale ? Status.STALE : Status.HIT, reason: Reason.UNSPECIFIED, kept: { value: entry.value } },
    ...{ ageMs, lifetime: entry.lifetime, leased: stale && renewed },
    ...(render ? { render } : {}),
  };
}

/** When something was asked for and answered, in the words of the near cache. */
export interface Asked {
  readonly turn: number;
  readonly answeredAt: number;
}

/**
 * What of an answer may be kept: only what is fresh, and what the daemon could vouch for. Nothing else of an entry that
 * has not changed need be here but what was held.
 */
export function toFill(read: Read, response: GetResponse, asked: Asked, held?: NearEntry): { fill?: NearFill } {
  const { status, reason, entry, version, asOf, ageMs } = response;
  const { key, softTags, onDemand } = read;
  if (status !== Status.HIT || reason === Reason.STORE_UNAVAILABLE || onDemand || !version || !asOf) return {};
  const tags = entry?.tags ?? held?.tags;
  const bytes = held?.bytes ?? (entry && bytesOf(entry));
  if (!tags || bytes === undefined) return {};
  const lifetime = entry ? fromLifetime(entry.lifetime) : (held?.lifetime ?? {});
  const bornAt = asked.answeredAt - Number(ageMs) - (entry ? ageWhenWritten(entry) : 0);
  return { fill: { key, version, asOf, tags, softTags, lifetime, bytes, bornAt, turn: asked.turn } };
}

/**
 * What a value that was read from an entry takes in memory, roughly. Its buffers are views of the message that brought
 * them and hold all of it; its text comes on top.
 */
function bytesOf({ kind, parts }: Entry): number {
  const bytes = parts.reduce((sum, { data }) => sum + data.length, 0);
  return kind === Kind.APP_ROUTE || kind === Kind.IMAGE || kind === Kind.USE_CACHE ? bytes : 2 * bytes;
}

/** The attribute that says how old the content was when it was written, in milliseconds: answers count from the write. */
export const AGE_WHEN_WRITTEN = "age";

function ageWhenWritten({ attributes }: Entry): number {
  return Number(attributes[AGE_WHEN_WRITTEN]) || 0;
}

/** What a value of Next.js takes in memory, roughly: up to two bytes for a character. */
export function bytesOfDraft({ parts }: EntryDraft): number {
  return parts.reduce((sum, { data }) => sum + (typeof data === "string" ? 2 : 1) * data.length, 0);
}

function fromLifetime(lifetime: Lifetime | undefined): EntryLifetime {
  return {
    ...(lifetime?.revalidateSeconds === undefined ? {} : { revalidate: lifetime.revalidateSeconds }),
    ...(lifetime?.expireSeconds === undefined ? {} : { expire: lifetime.expireSeconds }),
  };
}

/** A lifetime in the words of the contract. */
export function toLifetime({ revalidate, expire }: EntryLifetime): {
  revalidateSeconds?: number;
  expireSeconds?: number;
} {
  return {
    ...(revalidate === undefined ? {} : { revalidateSeconds: revalidate }),
    ...(expire === undefined ? {} : { expireSeconds: expire }),
  };
}
