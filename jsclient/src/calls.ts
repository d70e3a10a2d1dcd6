import type { EntryLifetime } from "./fallback.js";
import { type GetResponse, Reason, Status } from "./gen/isrd/v1/cache_pb.js";
import type { Build, Entry, Version } from "./gen/isrd/v1/entry_pb.js";
import type { Begin, EntryKey, Render } from "./renders.js";
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
  /** The entry as Next.js had given it, from this process's fallback. */
  readonly kept?: { readonly value: object | null };
  /** The version of the entry; none in the fallback. */
  readonly version?: Version;
  readonly ageMs: number;
  readonly lifetime: EntryLifetime;
  /** This caller is the one to regenerate: it has the lease, or nobody else can be asked. */
  readonly leased: boolean;
  /** The render that is now open; a set ends it. */
  readonly render?: Render;
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
  const lifetime = entry?.lifetime;
  return {
    status,
    reason,
    ...(entry ? { entry } : {}),
    ...(version ? { version } : {}),
    ageMs: Number(ageMs),
    lifetime: {
      ...(lifetime?.revalidateSeconds === undefined ? {} : { revalidate: lifetime.revalidateSeconds }),
      ...(lifetime?.expireSeconds === undefined ? {} : { expire: lifetime.expireSeconds }),
    },
    leased: lease !== undefined,
    ...(render ? { render } : {}),
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
