import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import {
  type GetRequest,
  type GetResponseSchema,
  Outcome,
  Reason,
  type ReleaseRequest,
  type Revalidation,
  type SetRequest,
  Status,
} from "../../src/gen/isrd/v1/cache_pb.js";
import { type Build, type Entry, type Key, Space, type Version } from "../../src/gen/isrd/v1/entry_pb.js";
import type { EventSchema, LeaseClaim, LeaseClaimSchema } from "../../src/gen/isrd/v1/session_pb.js";
import { keyHasher } from "../../src/key.js";
import { compareVersions } from "../../src/order.js";

/** Who asks: one connection, or one unary call. */
export interface Holder {
  app: string;
  build: Pick<Build, "buildId" | "deploymentId">;
  /** Its session has ended, and its leases wait to be claimed. */
  gone: boolean;
}

/** A message in the making, as a plain object. */
export type Plain<S extends DescMessage> = Extract<MessageInitShape<S>, { readonly $typeName?: never }>;

type Reply = Plain<typeof GetResponseSchema>;
type PlainVersion = Pick<Version, "epoch" | "seq" | "token">;

interface Stored {
  entry: Entry;
  version: PlainVersion;
  storedAt: number;
  retryAt: number;
}

interface Lease {
  token: bigint;
  holder: Holder;
}

interface Waiter {
  again(): void;
  inVain(): void;
}

/** An event as it is sent, with its place. */
export type FakeEvent = Plain<typeof EventSchema> & { position: { epoch: bigint; seq: bigint; nonce: string } };

const EPOCH = 7n;

/** The semantics of a cache in memory, just enough to run the client's contract suite against it. */
export class FakeStore {
  readonly #entries = new Map<string, Stored>();
  readonly #leases = new Map<string, Lease>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #marks = new Map<string, { expired: bigint; stale: bigint; expireAt: number }>();
  /** All events, oldest first. */
  readonly log: FakeEvent[] = [];
  /** Called when a get has appended an event. */
  onEvent: (event: FakeEvent) => void = () => {};
  #seq = 1n;
  #token = 100n;

  position() {
    return { epoch: EPOCH, seq: this.#seq, nonce: `n${this.#seq}` };
  }

  get leases(): number {
    return this.#leases.size;
  }

  /** Answers, at once or later; returns true if it will be later. */
  get(
    request: GetRequest,
    holder: Holder,
    limits: { limitMs: number; aside: number },
    reply: (r: Reply) => void,
  ): boolean {
    const id = idOf(request.key, holder);
    if (request.onDemand) this.#markKey(request, holder);
    const stored = this.#entries.get(id);
    const judged = stored
      ? this.#judge(stored, [...request.softTags, keyTag(id)])
      : { status: Status.MISS, reason: Reason.ABSENT };
    if (judged.status === Status.HIT && !request.onDemand) {
      reply(this.#answer(judged, stored, limits.aside, request.held));
      return false;
    }
    const lease = this.#grant(id, request, holder, stored);
    if (judged.status !== Status.MISS || lease || request.noLease) {
      reply({
        ...this.#answer(judged, stored, limits.aside, request.held),
        ...(lease ? { lease: { token: lease, ttlMs: 30_000 } } : {}),
      });
      return false;
    }
    this.#park(id, limits.limitMs, () => this.get(request, holder, limits, reply), reply);
    return true;
  }

  /** The body of exactly one version. */
  body(request: GetRequest, holder: Holder): Reply {
    const stored = this.#entries.get(idOf(request.key, holder));
    if (!stored || !request.bodyOf || compareVersions(stored.version as Version, request.bodyOf) !== 0) {
      return { status: Status.MISS, reason: Reason.ABSENT };
    }
    return { status: Status.HIT, entry: stored.entry, version: stored.version, asOf: this.position() };
  }

  set(request: SetRequest, holder: Holder): { outcome: Outcome; version?: PlainVersion } {
    const id = idOf(request.key, holder);
    if (request.leaseToken === this.#leases.get(id)?.token) this.#leases.delete(id);
    const outcome = this.#write(id, request);
    this.#wake(id);
    const version = this.#entries.get(id)?.version;
    return outcome === Outcome.ACCEPTED && version ? { outcome, version } : { outcome };
  }

  release({ key, leaseToken }: ReleaseRequest, holder: Holder): boolean {
    const id = idOf(key, holder);
    if (this.#leases.get(id)?.token !== leaseToken) return false;
    this.#leases.delete(id);
    this.#wake(id);
    return true;
  }

  /** The connection has ended. */
  freeAll(holder: Holder): void {
    for (const [id, lease] of [...this.#leases]) {
      if (lease.holder !== holder) continue;
      this.#leases.delete(id);
      this.#wake(id);
    }
  }

  /** Leases of a session that has ended go over to the one that continues it, with a new token. */
  claim({ key, leaseToken }: LeaseClaim, holder: Holder): Plain<typeof LeaseClaimSchema> | undefined {
    const lease = this.#leases.get(idOf(key, holder));
    if (!key || lease?.token !== leaseToken || !lease.holder.gone) return undefined;
    this.#token += 1n;
    Object.assign(lease, { token: this.#token, holder });
    return { key, leaseToken, grantedToken: this.#token };
  }

  /** The events after a position; undefined if nobody can say which they are. */
  since(seq: bigint): FakeEvent[] | undefined {
    return seq > this.#seq ? undefined : this.log.filter(({ position }) => position.seq > seq);
  }

  revalidate(revalidations: readonly Pick<Revalidation, "tag" | "expireSeconds">[]): FakeEvent {
    this.#seq += 1n;
    for (const { tag, expireSeconds } of revalidations) {
      const mark = this.#marks.get(tag) ?? { expired: 0n, stale: 0n, expireAt: 0 };
      if (expireSeconds === undefined) mark.expired = this.#seq;
      else Object.assign(mark, { stale: this.#seq, expireAt: Date.now() + expireSeconds * 1000 });
      this.#marks.set(tag, mark);
    }
    return this.#append({ marks: revalidations.map(({ tag }) => ({ tag })) });
  }

  /** A render on demand makes stale what is there, whatever its tags. */
  #markKey({ key }: GetRequest, holder: Holder): void {
    if (!key) return;
    this.#seq += 1n;
    this.#marks.set(keyTag(idOf(key, holder)), { expired: 0n, stale: this.#seq, expireAt: Number.POSITIVE_INFINITY });
    const hash = keyHasher(key.app || holder.app, key.build ?? holder.build)(key);
    this.onEvent(this.#append({ keyHashes: [Buffer.from(hash, "hex")] }));
  }

  #append(event: Plain<typeof EventSchema>): FakeEvent {
    const placed = { ...event, position: this.position() };
    this.log.push(placed);
    return placed;
  }

  #answer(
    judged: { status: Status; reason: Reason },
    stored: Stored | undefined,
    aside: number,
    held: Version | undefined,
  ): Reply {
    const common = { ...judged, base: this.#base(), asOf: this.position() };
    if (!stored || judged.status === Status.MISS) return common;
    const { entry, version } = stored;
    const bytes = entry.parts.reduce((sum, part) => sum + part.data.length, 0);
    const ageMs = BigInt(Date.now() - stored.storedAt);
    if (held && compareVersions(held, version as Version) === 0) {
      return { ...common, entry: { ...entry, parts: [] }, version, ageMs, unchanged: true };
    }
    if (bytes <= aside) return { ...common, entry, version, ageMs };
    return { ...common, entry: { ...entry, parts: [] }, version, ageMs, aside: { bytes: BigInt(bytes) } };
  }

  #base(): PlainVersion {
    return { epoch: EPOCH, seq: this.#seq, token: this.#token };
  }

  #grant(id: string, request: GetRequest, holder: Holder, stored: Stored | undefined): bigint | undefined {
    if (request.noLease && !request.onDemand) return undefined;
    if (!request.onDemand && (this.#leases.has(id) || (stored && stored.retryAt > Date.now()))) return undefined;
    this.#token += 1n;
    this.#leases.set(id, { token: this.#token, holder });
    return this.#token;
  }

  #park(id: string, limitMs: number, again: () => void, reply: (r: Reply) => void): void {
    const waiters = this.#waiters.get(id) ?? new Set<Waiter>();
    const timer = setTimeout(() => {
      waiters.delete(waiter);
      waiter.inVain();
    }, limitMs);
    const waiter: Waiter = {
      again: () => {
        clearTimeout(timer);
        again();
      },
      inVain: () => reply({ status: Status.MISS, reason: Reason.WAITED, base: this.#base(), asOf: this.position() }),
    };
    waiters.add(waiter);
    this.#waiters.set(id, waiters);
  }

  #wake(id: string): void {
    const waiters = [...(this.#waiters.get(id) ?? [])];
    this.#waiters.delete(id);
    for (const waiter of waiters) waiter.again();
  }

  #write(id: string, request: SetRequest): Outcome {
    const stored = this.#entries.get(id);
    if (request.rewriteOf) {
      if (stored) stored.retryAt = Date.now() + request.retryAfterMs;
      return Outcome.ACCEPTED;
    }
    const version = request.base ?? (request.position && { ...request.position, token: (this.#token += 1n) });
    if (!version || !request.entry) return Outcome.REFUSED_OLDER;
    if (stored && compareVersions(version as Version, stored.version as Version) < 0) return Outcome.REFUSED_OLDER;
    const candidate: Stored = { entry: request.entry, version, storedAt: Date.now(), retryAt: 0 };
    if (this.#judge(candidate, [keyTag(id)]).status === Status.MISS) return Outcome.REFUSED_INVALIDATED;
    this.#entries.set(id, candidate);
    return Outcome.ACCEPTED;
  }

  #judge({ entry, version, storedAt }: Stored, softTags: readonly string[]): { status: Status; reason: Reason } {
    let stale: Reason | undefined;
    for (const tag of [...entry.tags, ...softTags]) {
      const mark = this.#marks.get(tag);
      if (!mark) continue;
      if (mark.expired > version.seq) return { status: Status.MISS, reason: Reason.TAG_EXPIRED };
      if (mark.stale <= version.seq) continue;
      if (mark.expireAt <= Date.now()) return { status: Status.MISS, reason: Reason.TAG_EXPIRED };
      stale = Reason.TAG_STALE;
    }
    const age = (Date.now() - storedAt) / 1000;
    const { revalidateSeconds, expireSeconds } = entry.lifetime ?? {};
    if (expireSeconds !== undefined && age >= expireSeconds) return { status: Status.MISS, reason: Reason.EXPIRED };
    if (revalidateSeconds !== undefined && age >= revalidateSeconds) stale ??= Reason.REVALIDATE;
    return stale === undefined
      ? { status: Status.HIT, reason: Reason.UNSPECIFIED }
      : { status: Status.STALE, reason: stale };
  }
}

function idOf(key: Key | undefined, holder: Holder): string {
  const app = key?.app || holder.app;
  const { buildId, deploymentId } = key?.build ?? holder.build;
  const build = `${buildId}/${deploymentId}`;
  return `${app}|${key?.space === Space.ROUTE ? build : ""}|${key?.space}|${key?.name}`;
}

/** Stands for a key among the tags. */
function keyTag(id: string): string {
  return `\0key:${id}`;
}
