import { create } from "@bufbuild/protobuf";
import { AGE_WHEN_WRITTEN, type Identity, toLifetime, type Write } from "./calls.js";
import { IsrdError, TooLargeError } from "./errors.js";
import { type GetRequest, GetRequestSchema, type GetResponse, type SetResponse } from "./gen/isrd/v1/cache_pb.js";
import type { Entry, Position, Version } from "./gen/isrd/v1/entry_pb.js";
import type { EntryKey } from "./key.js";
import type { Lease } from "./lease.js";
import type { Session } from "./session.js";
import {
  decodeGetResponse,
  decodeSetResponse,
  encodeGetRequest,
  encodeSetFrame,
  encodeSized,
  type SetDraft,
  sizeSetRequest,
} from "./wire.js";

/** A get as it is sent, but for its key's app and build. */
export interface PlainGet extends Pick<GetRequest, "softTags" | "onDemand" | "noLease"> {
  readonly key: EntryKey;
}

/** What a set says beside its entry and its lease. */
export interface PlainSet {
  readonly key: EntryKey;
  readonly base?: Version;
  readonly position?: Position;
  readonly rewriteOf?: Version;
  readonly retryAfterMs?: number;
  readonly onlyIfAbsent?: boolean;
  readonly builtAtMs?: bigint;
}

/** Beside the stream a body is waited for as long as it takes at this speed, and the deadline of a call. */
const ASIDE_BYTES_PER_MS = 20 * 1024;

/**
 * Brings bodies to the daemon and from it: on the stream, or beside it if they are so large that they would delay the
 * others. Rejects as the session does.
 */
export class Bodies {
  readonly #session: Session;
  readonly #identity: Identity;
  readonly #timeoutMs: number;

  constructor(options: { session: Session; identity: Identity; timeoutMs: number }) {
    this.#session = options.session;
    this.#identity = options.identity;
    this.#timeoutMs = options.timeoutMs;
  }

  /** The entry of an answer that came without its body. All events that the answer was judged with are applied then. */
  async fetch(request: PlainGet, { version, asOf, aside }: GetResponse): Promise<Entry> {
    if (!version) throw new IsrdError("unreadable", "an answer without its body names no version");
    const key = { ...request.key, ...this.#identity };
    const message = encodeGetRequest(create(GetRequestSchema, { ...request, key, bodyOf: version, noLease: true }));
    const timeoutMs = this.#asideTimeout(Number(aside?.bytes ?? 0));
    const body = decodeGetResponse(await this.#session.unary("get", () => message, timeoutMs));
    // It came past the stream, so it may have overtaken events that it was judged with.
    if (asOf) await this.#session.applied(asOf, this.#timeoutMs);
    if (!body.entry) throw new IsrdError("unreadable", "the body has gone since the answer");
    return body.entry;
  }

  /** Sends an entry. */
  send({ draft, lifetime, tags, ageMs = 0 }: Write, request: PlainSet, lease: Lease | undefined): Promise<SetResponse> {
    const { parts, status, ...head } = draft;
    const entry = {
      ...head,
      headers: head.headers.map((header) => ({ ...header })),
      attributes: { ...head.attributes, ...(ageMs > 0 ? { [AGE_WHEN_WRITTEN]: String(ageMs) } : {}) },
      ...(status === undefined ? {} : { status }),
      lifetime: toLifetime(lifetime),
      tags: [...tags],
    };
    return this.#send(lease, (leaseToken, identity) => {
      return { request: { ...request, key: { ...request.key, ...identity }, leaseToken, ageMs }, entry, parts };
    });
  }

  /** Sends a set without an entry. */
  sendRewrite(request: PlainSet, lease: Lease | undefined): Promise<SetResponse> {
    return this.#send(lease, (leaseToken) => ({ request: { ...request, leaseToken }, parts: [] }));
  }

  /** The lease's token is the one that it has when the set is sent: waiting for a connection may have changed it. */
  async #send(
    lease: Lease | undefined,
    draft: (leaseToken: bigint, identity?: Identity) => SetDraft,
  ): Promise<SetResponse> {
    const tokenOf = (): bigint => lease?.token ?? 0n;
    const token = tokenOf();
    const sized = sizeSetRequest(draft(token));
    const { aside, maxEntry } = this.#session.limits;
    if (sized.bytes > maxEntry) {
      throw new TooLargeError(sized.bytes, maxEntry);
    }
    if (sized.bytes <= aside) {
      const latest = () => (tokenOf() === token ? sized : sizeSetRequest(draft(tokenOf())));
      return this.#session.set((id) => encodeSetFrame(id, latest()));
    }
    const encode = (): Buffer => encodeSized(sizeSetRequest(draft(tokenOf(), this.#identity)));
    return decodeSetResponse(await this.#session.unary("set", encode, this.#asideTimeout(sized.bytes)));
  }

  #asideTimeout(bytes: number): number {
    return this.#timeoutMs + Math.ceil(bytes / ASIDE_BYTES_PER_MS);
  }
}
