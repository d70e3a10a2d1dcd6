import { create } from "@bufbuild/protobuf";
import { type Answer, type Identity, MISS, type Read, toAnswer, toLifetime, type Write } from "./calls.js";
import { type Counters, newCounters } from "./counters.js";
import { IsrdError, messageOf, RefusedError } from "./errors.js";
import type { Fallback } from "./fallback.js";
import {
  GetRequestSchema,
  type GetResponse,
  Outcome,
  Reason,
  type SetResponse,
  Status,
} from "./gen/isrd/v1/cache_pb.js";
import { type Entry, type Position, Space, type Version } from "./gen/isrd/v1/entry_pb.js";
import type { Log } from "./log.js";
import type { TagMark } from "./outbox.js";
import { type Begin, type Ended, type EntryKey, type Render, Renders } from "./renders.js";
import type { Session } from "./session.js";
import {
  decodeGetResponse,
  decodeSetResponse,
  encodeGetRequest,
  encodeSetFrame,
  encodeSized,
  sizeSetRequest,
} from "./wire.js";

/** A get as it is sent, but for its key's app and build. */
interface PlainGet extends Omit<Read, "softTags" | "begin"> {
  readonly softTags: string[];
}

/** What a set says beside its entry. */
interface PlainSet {
  readonly key: EntryKey;
  readonly leaseToken: bigint;
  readonly base?: Version;
  readonly position?: Position;
}

/** Beside the stream a body is waited for as long as it takes at this speed, and the deadline of a call. */
const ASIDE_BYTES_PER_MS = 20 * 1024;

/**
 * The calls of a cache handler, in the words of the daemon: gets that open renders, sets that end them, and what to do
 * while the daemon is away. No method rejects; whatever fails is a miss.
 */
export class Client {
  readonly counters: Counters = newCounters();
  readonly #session: Session;
  readonly #fallback: Fallback;
  readonly #identity: Identity;
  readonly #timeoutMs: number;
  readonly #log: Log;
  readonly #renders = new Renders();

  constructor(options: { session: Session; fallback: Fallback; identity: Identity; timeoutMs: number; log: Log }) {
    this.#session = options.session;
    this.#fallback = options.fallback;
    this.#identity = options.identity;
    this.#timeoutMs = options.timeoutMs;
    this.#log = options.log;
  }

  /** Where a request that arrives now begins. */
  begin(): Begin {
    return { position: this.#session.position, localSeq: this.#fallback.seq };
  }

  /** Reads an entry, or obtains the right to render it. */
  async get(read: Read): Promise<Answer> {
    this.counters.gets += 1;
    const localSeq = this.#fallback.seq;
    let answer: Answer;
    try {
      answer = await this.#ask(read, localSeq);
    } catch (error) {
      this.#count(error);
      answer = this.#session.state === "ready" ? this.#without(read, localSeq) : this.#fromFallback(read, localSeq);
    }
    this.#countAnswer(answer);
    return answer;
  }

  /** Writes an entry and ends the renders of its key. Returns when the daemon has it, or is not to be had. */
  async set(write: Write): Promise<void> {
    this.counters.sets += 1;
    const ended = this.#renders.close(write.key, write.begin);
    const { base, position, leaseToken } = ended;
    // Without any position nobody could tell what the content is older than.
    if (this.#session.state === "away" || !(base || position)) {
      this.#giveBack(write.key, leaseToken);
      return this.#keep(write, ended);
    }
    const request = { key: write.key, leaseToken, ...(base ? { base } : {}), ...(position ? { position } : {}) };
    try {
      this.#judge(write.key, await this.#send(write, request));
    } catch (error) {
      this.#failedWrite(write.key, leaseToken, error);
      if (this.#session.state !== "ready") this.#keep(write, ended);
    }
  }

  /** Next.js gave the old entry back after a failed render: keeps the entry as it is, and delays the next attempt. */
  async retryLater(key: EntryKey, version: Version, retryAfterMs: number, begin: Begin): Promise<void> {
    const { base, leaseToken } = this.#renders.close(key, begin);
    const request = {
      key,
      leaseToken,
      rewriteOf: version,
      retryAfterMs,
      ...(base ? { base } : {}),
    };
    const message = sizeSetRequest({ request, parts: [] });
    try {
      this.#judge(key, await this.#session.set((id) => encodeSetFrame(id, message)));
    } catch (error) {
      this.#failedWrite(key, leaseToken, error);
    }
  }

  /** A render has ended without a set: whoever waits for it need not any longer. */
  abandon(render: Render): void {
    if (!this.#renders.drop(render) || render.leaseToken === 0n) return;
    this.counters.releases += 1;
    this.#giveBack(render.key, render.leaseToken);
  }

  /** Nothing will be written for this key, although Next.js has rendered it. */
  abandonKey(key: EntryKey, begin: Begin): void {
    this.#giveBack(key, this.#renders.close(key, begin).leaseToken);
  }

  /** Marks tags, here at once and in the fleet before it returns, unless the daemon is away. */
  async revalidate(marks: readonly TagMark[]): Promise<void> {
    if (marks.length === 0) return;
    this.counters.revalidations += 1;
    this.#fallback.revalidate(marks);
    await this.#session.revalidate(marks);
  }

  async #ask(read: Read, localSeq: number): Promise<Answer> {
    const { key, onDemand, noLease } = read;
    const request: PlainGet = { key, softTags: [...read.softTags], onDemand, noLease };
    const response = await this.#session.get(request);
    const render = this.#openedBy(read, response, localSeq);
    const answer = toAnswer(response, render);
    if (!response.aside) return answer;
    try {
      return { ...answer, entry: await this.#fetchBody(request, response) };
    } catch (error) {
      this.#count(error);
      return { ...MISS, ...(render ? { render } : {}) };
    }
  }

  /** The answer to a get is a render, if Next.js will render: that is not the same as a MISS. */
  #openedBy({ key, onDemand, noLease, begin }: Read, response: GetResponse, localSeq: number): Render | undefined {
    const { status, lease, base } = response;
    const renders =
      onDemand ||
      (status === Status.MISS && !noLease) ||
      // Nobody is told that an old fetch is fresh, so without the lease it is fetched too.
      (status === Status.STALE && (lease !== undefined || (key.space === Space.FETCH && !noLease)));
    return renders ? this.#renders.open({ key, begin, base, leaseToken: lease?.token ?? 0n, localSeq }) : undefined;
  }

  async #fetchBody(request: PlainGet, response: GetResponse): Promise<Entry> {
    const { version, asOf, aside } = response;
    if (!version) throw new IsrdError("unreadable", "an answer without its body names no version");
    const key = { ...request.key, ...this.#identity };
    const message = encodeGetRequest(create(GetRequestSchema, { ...request, key, bodyOf: version, noLease: true }));
    const bytes = await this.#session.unary("get", message, this.#asideTimeout(Number(aside?.bytes ?? 0)));
    const body = decodeGetResponse(bytes);
    // It came past the stream, so it may have overtaken events that it was judged with.
    if (asOf) await this.#session.applied(asOf, this.#timeoutMs);
    if (!body.entry) throw new IsrdError("unreadable", "the body has gone since the answer");
    return body.entry;
  }

  #send(write: Write, request: PlainSet): Promise<SetResponse> {
    const { parts, ...rest } = write.draft;
    const { status, ...head } = rest;
    const entry = {
      ...head,
      headers: head.headers.map((header) => ({ ...header })),
      attributes: { ...head.attributes },
      ...(status === undefined ? {} : { status }),
      lifetime: toLifetime(write.lifetime),
      tags: [...write.tags],
    };
    const { aside, maxEntry } = this.#session.limits;
    const message = sizeSetRequest({ request, entry, parts });
    if (message.bytes > maxEntry) throw this.#tooLarge(message.bytes);
    if (message.bytes <= aside) return this.#session.set((id) => encodeSetFrame(id, message));
    const keyed = { ...request, key: { ...write.key, ...this.#identity } };
    const unary = encodeSized(sizeSetRequest({ request: keyed, entry, parts }));
    return this.#session.unary("set", unary, this.#asideTimeout(unary.length)).then(decodeSetResponse);
  }

  #asideTimeout(bytes: number): number {
    return this.#timeoutMs + Math.ceil(bytes / ASIDE_BYTES_PER_MS);
  }

  #tooLarge(bytes: number): RefusedError {
    return new RefusedError(8, `it has ${bytes} bytes, and the daemon takes ${this.#session.limits.maxEntry}`);
  }

  #judge(key: EntryKey, { outcome }: SetResponse): void {
    if (outcome === Outcome.ACCEPTED || outcome === Outcome.LOCAL_ONLY) return;
    this.counters.setsRefused += 1;
    if (outcome === Outcome.REFUSED_TOO_LARGE) {
      this.#log.warnSeldom("set", `"${key.name}" is not cached: it is larger than the daemon's --max-entry-bytes`);
    } else {
      this.#log.debug(`"${key.name}" was rendered from data that is out of date by now, and dropped`);
    }
  }

  #giveBack(key: EntryKey, leaseToken: bigint): void {
    if (leaseToken !== 0n) this.#session.release({ key, leaseToken });
  }

  /** A write that was sent and not answered may yet be done, and end its lease; any other never will. */
  #failedWrite(key: EntryKey, leaseToken: bigint, error: unknown): void {
    this.#count(error);
    if (!(error instanceof IsrdError && error.code === "timeout")) this.#giveBack(key, leaseToken);
    if (!(error instanceof RefusedError)) return;
    this.counters.setsRefused += 1;
    this.#log.warnSeldom("set", `"${key.name}" is not cached: ${error.message}`);
  }

  #keep(write: Write, ended: Ended): void {
    const { value, tags, lifetime, begin, draft } = write;
    const localSeq = Math.min(ended.localSeq, begin.localSeq);
    const bytes = draft.parts.reduce((sum, part) => sum + part.data.length, 0);
    if (this.#session.state === "away") this.#fallback.set(write.key, { value, tags, lifetime, bytes, localSeq });
  }

  #fromFallback(read: Read, localSeq: number): Answer {
    const reading = this.#fallback.get(read.key, read.softTags);
    if (!reading) return this.#without(read, localSeq);
    this.counters.fallbacks += 1;
    const { entry, stale, ageMs } = reading;
    const renders = read.onDemand || (stale && !read.noLease);
    return {
      status: stale ? Status.STALE : Status.HIT,
      reason: Reason.UNSPECIFIED,
      kept: { value: entry.value },
      ageMs,
      lifetime: entry.lifetime,
      leased: stale && !read.noLease,
      ...(renders ? { render: this.#openUnanswered(read, localSeq) } : {}),
    };
  }

  /** Nobody could be asked: Next.js renders. */
  #without(read: Read, localSeq: number): Answer {
    return read.noLease ? MISS : { ...MISS, render: this.#openUnanswered(read, localSeq) };
  }

  #openUnanswered({ key, begin }: Read, localSeq: number): Render {
    return this.#renders.open({ key, begin, base: undefined, leaseToken: 0n, localSeq });
  }

  #count(error: unknown): void {
    const code = error instanceof IsrdError ? error.code : undefined;
    if (code === "timeout") this.counters.timeouts += 1;
    else if (code === "unavailable") this.counters.unavailable += 1;
    else if (code === "overloaded") this.counters.overloads += 1;
    else if (code === "unreadable" || code === undefined) this.counters.unreadable += 1;
    if (code === "refused" || code === "unreadable" || code === undefined) {
      this.#log.warnSeldom("call", `a call failed: ${messageOf(error)}`);
    }
  }

  #countAnswer({ status }: Answer): void {
    if (status === Status.HIT) this.counters.hits += 1;
    else if (status === Status.STALE) this.counters.stales += 1;
    else this.counters.misses += 1;
  }
}
