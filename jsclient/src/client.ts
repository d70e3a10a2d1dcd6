import type { Beginnings } from "./beginnings.js";
import { Bodies, type PlainGet } from "./bodies.js";
import {
  type Answer,
  type Asked,
  bytesOfDraft,
  type Identity,
  MISS,
  type Read,
  toAnswer,
  toFill,
  toKept,
  toNear,
  toUnchanged,
  type Write,
} from "./calls.js";
import { type Counters, countAnswer, countFailure, newCounters } from "./counters.js";
import { IsrdError, messageOf, RefusedError } from "./errors.js";
import type { Fallback } from "./fallback.js";
import { type GetResponse, Outcome, Reason, type SetResponse, Status } from "./gen/isrd/v1/cache_pb.js";
import { type Position, Space, type Version } from "./gen/isrd/v1/entry_pb.js";
import type { EntryKey } from "./key.js";
import type { Lease, Leases } from "./lease.js";
import type { Log } from "./log.js";
import type { NearCache, NearEntry, NearFill } from "./near-cache.js";
import type { TagMark } from "./outbox.js";
import { type Begin, type Ended, type Render, Renders } from "./renders.js";
import type { Session } from "./session.js";
import { Together } from "./together.js";

/** Everything that a client needs. */
export interface ClientOptions {
  readonly session: Session;
  readonly fallback: Fallback;
  readonly near: NearCache;
  readonly leases: Leases;
  readonly beginnings: Beginnings;
  readonly identity: Identity;
  readonly timeoutMs: number;
  readonly log: Log;
}

/**
 * The calls of a cache handler, in the words of the daemon: gets that open renders, sets that end them, what need not be
 * asked, and what to do while the daemon is away. No method rejects; whatever fails is a miss.
 */
export class Client {
  readonly counters: Counters = newCounters();
  readonly #session: Session;
  readonly #fallback: Fallback;
  readonly #near: NearCache;
  readonly #leases: Leases;
  readonly #beginnings: Beginnings;
  readonly #together: Together;
  readonly #bodies: Bodies;
  readonly #log: Log;
  readonly #renders = new Renders();

  constructor(options: ClientOptions) {
    this.#session = options.session;
    this.#fallback = options.fallback;
    this.#near = options.near;
    this.#leases = options.leases;
    this.#beginnings = options.beginnings;
    this.#together = new Together((marks) => options.session.revalidate(marks));
    this.#bodies = new Bodies(options);
    this.#log = options.log;
  }

  /** Where a request that arrives now begins, or one that arrived at a time. */
  begin(at?: number): Begin {
    if (at === undefined)
      return { position: this.#session.position, localSeq: this.#fallback.seq, at: performance.now() };
    const { position, localSeq } = this.#beginnings.at(at);
    return { position, localSeq, at };
  }

  /** Where a render began, by `performance.now()`. */
  beganAt(time: number): Begin {
    return this.#beginnings.at(time);
  }

  /** Reads an entry, or obtains the right to render it. */
  async get(read: Read): Promise<Answer> {
    this.counters.gets += 1;
    const near = this.#fromNear(read);
    if (near) return near;
    const localSeq = this.#fallback.seq;
    let answer: Answer;
    try {
      answer = await this.#ask(read, localSeq);
    } catch (error) {
      this.#failed(error);
      answer = this.#session.state === "ready" ? this.#without(read, localSeq) : this.#fromFallback(read, localSeq);
    }
    countAnswer(this.counters, answer.status);
    return answer;
  }

  /** The value of an answer is known: it need not be asked for again while it is fresh. */
  keepNear(fill: NearFill, value: object | null): void {
    this.#near.fill(fill, value);
  }

  /**
   * Writes an entry and ends the renders of its key. Returns when the daemon has it, or is not to be had; why the daemon
   * cannot take it, where it will say the same again.
   */
  async set(write: Write): Promise<RefusedError | undefined> {
    this.counters.sets += 1;
    const begun = { turn: this.#near.begin(write.key), answeredAt: this.#near.now() };
    const { via } = this.#session;
    const ended = this.#close(write.key, write.begin, write.tags);
    const { base, position, lease } = ended;
    // Without any position nobody could tell what the content is older than.
    if (this.#session.state === "away" || !(base || position)) {
      this.#giveBack(lease);
      this.#keep(write, ended);
      return undefined;
    }
    const request = { key: write.key, ...(base ? { base } : {}), ...(position ? { position } : {}) };
    try {
      const response = await this.#bodies.send(write, request, lease);
      this.#judge(write.key, response);
      this.#keepWritten(write, response, begun);
      return undefined;
    } catch (error) {
      this.#failedWrite(write.key, lease, error);
      if (this.#session.state !== "ready") this.#keep(write, ended);
      return error instanceof RefusedError ? error : undefined;
    } finally {
      lease?.end();
      this.#renders.settle(write.key, ended, write.tags, via);
    }
  }

  /**
   * Offers what the build has rendered where the answer was that there is nothing, and reads again. `outdated`: it was
   * revalidated since it was built. With that, and if it could not be offered, the render that the answer has set off goes on.
   */
  async plant(
    read: Read,
    { reason, render }: Answer,
    write: Write,
    builtAtMs: number,
  ): Promise<Answer | "outdated" | undefined> {
    if (this.#session.state !== "ready" || reason !== Reason.ABSENT) return undefined;
    const { base, lease } = render ?? {};
    const { position } = read.begin;
    if (!base && !position) return undefined;
    const counted = base ? { base } : { position: position as Position };
    try {
      const request = { key: read.key, ...counted, onlyIfAbsent: true, builtAtMs: BigInt(builtAtMs) };
      const { outcome } = await this.#bodies.send(write, request, lease);
      if (outcome === Outcome.REFUSED_INVALIDATED) return "outdated";
      // Refused as older: somebody has written meanwhile, and that is what is read then.
      if (outcome !== Outcome.ACCEPTED && outcome !== Outcome.REFUSED_OLDER) return undefined;
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
    this.counters.planted += 1;
    if (render) this.#renders.drop(render);
    lease?.end(); // by the write
    return this.get(read);
  }

  /** Next.js gave the old entry back after a failed render: keeps the entry as it is, and delays the next attempt. */
  async retryLater(key: EntryKey, version: Version, retryAfterMs: number, begin: Begin): Promise<void> {
    const { base, lease } = this.#close(key, begin);
    const request = { key, rewriteOf: version, retryAfterMs, ...(base ? { base } : {}) };
    try {
      this.#judge(key, await this.#bodies.sendRewrite(request, lease));
    } catch (error) {
      this.#failedWrite(key, lease, error);
    } finally {
      lease?.end();
    }
  }

  /**
   * A render has ended without a set: whoever waits for it need not any longer. It is `completed` if its response was
   * sent and is no error: then the next one will end in the same way.
   */
  abandon(render: Render, completed: boolean): void {
    if (!this.#renders.drop(render) || !render.lease) return;
    this.counters.releases += 1;
    this.#giveBack(render.lease, completed);
  }

  /** Nobody needs to wait for this render any longer, although it may yet come to a set. */
  goOnWithoutLease({ lease }: Render): void {
    if (!lease?.open) return;
    this.counters.releases += 1;
    this.#giveBack(lease);
  }

  /**
   * Nothing will be written for this key, although Next.js has rendered it; if `completed`, nor will be the next time.
   * `tags` are those of a result that can be in others all the same.
   */
  abandonKey(key: EntryKey, begin: Begin, completed = false, tags?: readonly string[]): void {
    this.#giveBack(this.#close(key, begin, tags).lease, completed);
  }

  /** Marks tags, here at once and in the fleet before it returns, unless the daemon is away. */
  async revalidate(marks: readonly TagMark[]): Promise<void> {
    if (marks.length === 0) return;
    this.counters.revalidations += 1;
    this.#fallback.revalidate(marks);
    this.#beginnings.revalidated(this.#fallback.seq);
    this.#near.forget(marks.map(({ tag }) => tag));
    await this.#together.add(marks);
  }

  async #ask(read: Read, localSeq: number): Promise<Answer> {
    const { key, onDemand, noLease } = read;
    const held = onDemand ? undefined : this.#near.held(key);
    const turn = this.#near.turn;
    const plain: PlainGet = { key, softTags: [...read.softTags], onDemand, noLease };
    const { response, via } = await this.#session.get(held ? { ...plain, held: held.version } : plain);
    const asked = { turn, answeredAt: this.#near.now() };
    const render = this.#openedBy(read, response, { localSeq, via });
    const answer = toAnswer(response, render);
    try {
      if (response.unchanged) return this.#unchanged(answer, held, toFill(read, response, asked, held));
      if (!response.aside) return { ...answer, ...toFill(read, response, asked) };
      const entry = await this.#bodies.fetch(plain, response);
      return { ...answer, entry, ...toFill(read, { ...response, entry }, asked) };
    } catch (error) {
      this.#failed(error);
      return { ...MISS, ...(render ? { render } : {}) };
    }
  }

  #unchanged(answer: Answer, held: NearEntry | undefined, { fill }: { fill?: NearFill }): Answer {
    if (!held) throw new IsrdError("unreadable", "an answer says that nothing has changed, but nothing was held");
    this.counters.unchanged += 1;
    if (fill) this.#near.fill(fill, held.value);
    return toUnchanged(answer, held);
  }

  /** Nothing is asked, and no render begins: what is known to be fresh here is what the daemon would say. */
  #fromNear(read: Read): Answer | undefined {
    if (read.onDemand || !this.#session.vouched) return undefined;
    const entry = this.#near.get(read.key, read.softTags);
    if (!entry) return undefined;
    this.counters.hits += 1;
    this.counters.nearHits += 1;
    return toNear(entry, this.#near.now());
  }

  /** The answer to a get is a render, if Next.js will render: that is not the same as a MISS. */
  #openedBy(
    { key, onDemand, noLease, begin }: Read,
    response: GetResponse,
    known: Pick<Render, "localSeq" | "via">,
  ): Render | undefined {
    const { status, lease: granted, base } = response;
    const lease = this.#leases.grant(key, granted?.token ?? 0n);
    const renders =
      onDemand ||
      (status === Status.MISS && !noLease) ||
      // Nobody is told that old data is fresh, so without the lease it is made too.
      (status === Status.STALE && (lease !== undefined || (isData(key) && !noLease)));
    return renders ? this.#renders.open({ key, begin, base, lease, ...known }) : undefined;
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

  /** Ends the renders of a key, and gives back the leases that its set will not use. */
  #close(key: EntryKey, begin: Begin, tags?: readonly string[]): Ended {
    const ended = this.#renders.close(key, begin, tags, this.#session.via);
    for (const lease of ended.spare) this.#giveBack(lease);
    return ended;
  }

  #giveBack(lease: Lease | undefined, completed = false): void {
    if (!lease) return;
    lease.end();
    if (lease.token !== 0n) this.#session.release({ key: lease.key, leaseToken: lease.token, completed });
  }

  /** A write that was sent and not answered may yet be done, and end its lease; any other never will. */
  #failedWrite(key: EntryKey, lease: Lease | undefined, error: unknown): void {
    this.#failed(error);
    const refused = error instanceof RefusedError; // and so will be the next one: nobody needs to wait for it
    if (!(error instanceof IsrdError && error.code === "timeout")) this.#giveBack(lease, refused);
    if (!refused) return;
    this.counters.setsRefused += 1;
    this.#log.warnSeldom("set", `"${key.name}" is not cached: ${error.message}`);
  }

  #keepWritten(
    { key, value, tags, lifetime, draft, ageMs = 0 }: Write,
    { outcome, version }: SetResponse,
    begun: Asked,
  ): void {
    if (outcome !== Outcome.ACCEPTED || !version) return;
    const fill = { key, version, asOf: version, tags, softTags: [], lifetime, bytes: bytesOfDraft(draft) };
    this.#near.fill({ ...fill, bornAt: begun.answeredAt - ageMs, turn: begun.turn }, value);
  }

  #keep(write: Write, ended: Ended): void {
    const { value, tags, lifetime, begin, draft, ageMs = 0 } = write;
    const localSeq = Math.min(ended.localSeq, begin.localSeq);
    const bytes = draft.parts.reduce((sum, part) => sum + part.data.length, 0);
    if (this.#session.state !== "away") return;
    this.#fallback.set(write.key, { value, tags, lifetime, bytes, localSeq, ageMs });
  }

  #fromFallback(read: Read, localSeq: number): Answer {
    const reading = this.#fallback.get(read.key, read.softTags);
    if (!reading) return this.#without(read, localSeq);
    this.counters.fallbacks += 1;
    const renders = read.onDemand || (reading.stale && !read.noLease);
    return toKept(reading, !read.noLease, renders ? this.#openUnanswered(read, localSeq) : undefined);
  }

  /** Nobody could be asked: Next.js renders. */
  #without(read: Read, localSeq: number): Answer {
    return read.noLease ? MISS : { ...MISS, render: this.#openUnanswered(read, localSeq) };
  }

  #openUnanswered({ key, begin }: Read, localSeq: number): Render {
    return this.#renders.open({ key, begin, base: undefined, lease: undefined, localSeq });
  }

  #failed(error: unknown): void {
    countFailure(this.counters, error);
    const code = error instanceof IsrdError ? error.code : undefined;
    if (code === "refused" || code === "unreadable" || code === undefined) {
      this.#log.warnSeldom("call", `a call failed: ${messageOf(error)}`);
    }
  }
}

/** What renders read, and bake into what they make. */
function isData({ space }: EntryKey): boolean {
  return space === Space.FETCH || space === Space.USE_CACHE;
}
