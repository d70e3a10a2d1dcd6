import { GrpcCode, messageOf, RefusedError } from "./errors.js";
import type { Position } from "./gen/isrd/v1/entry_pb.js";
import type { Link } from "./link.js";
import type { Log } from "./log.js";
import { type Batch, Outbox, type TagMark } from "./outbox.js";

const RETRY_MS = 1000;

/** Brings revalidations to the daemon: remembers them until they are acknowledged, and sends them until then. */
export class Delivery {
  readonly #log: Log;
  readonly #acknowledged: (position: Position | undefined) => void;
  readonly #outbox = new Outbox();
  /** What the daemon has taken and cannot pass on: its store is away. It keeps it too, but may not live as long. */
  readonly #owed = new Outbox();
  #retry: NodeJS.Timeout | undefined;

  /** `acknowledged` is told the place in the log of each batch that the daemon has taken. */
  constructor(log: Log, acknowledged: (position: Position | undefined) => void) {
    this.#log = log;
    this.#acknowledged = acknowledged;
  }

  /** How many tags do not hold in the whole fleet yet. */
  get waiting(): number {
    return this.#outbox.size + this.#owed.size;
  }

  /** How many tags the daemon has not answered for. */
  get unanswered(): number {
    return this.#outbox.size;
  }

  /** What the last daemon could not pass on waits for an answer again. */
  recall(): void {
    for (let batch = this.#owed.take(); batch.marks.length > 0; batch = this.#owed.take()) {
      this.#outbox.add(batch.marks);
      this.#owed.settle(batch);
    }
  }

  remember(marks: readonly TagMark[]): void {
    const lost = this.#outbox.add(marks);
    if (lost > 0)
      this.#log.warnSeldom("outbox", `${lost} revalidated tags are lost: too many others wait for the daemon`);
  }

  /** Sends everything that waits for an answer. Rejects at the first failure; nothing is forgotten then. */
  async sendAll(link: Link, timeoutMs: number): Promise<void> {
    for (let batch = this.#outbox.take(); batch.marks.length > 0; batch = this.#outbox.take()) {
      await this.#send(link, batch, timeoutMs);
    }
  }

  /** Sends these tags, within one deadline. A failure is no error: they are sent again later. */
  async send(link: Link, tags: ReadonlySet<string>, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    try {
      for (let batch = this.#outbox.take(tags); batch.marks.length > 0; batch = this.#outbox.take(tags)) {
        await this.#send(link, batch, Math.max(1, deadline - performance.now()));
      }
    } catch (error) {
      this.#log.debug(`a revalidation waits for the daemon: ${messageOf(error)}`);
      this.#sendLater(link, timeoutMs);
    }
  }

  close(): void {
    clearTimeout(this.#retry);
  }

  /** Tries again while the link stands; a new one is sent everything by itself. */
  #sendLater(link: Link, timeoutMs: number): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.recall();
      if (link.open) this.sendAll(link, timeoutMs).catch(() => this.#sendLater(link, timeoutMs));
    }, RETRY_MS).unref();
  }

  async #send(link: Link, batch: Batch, timeoutMs: number): Promise<void> {
    const revalidations = batch.marks.map((mark) => ({ ...mark }));
    try {
      const frame = await link.request({ case: "revalidate", value: { revalidations } }, { timeoutMs });
      if (frame.case === "revalidate") {
        this.#acknowledged(frame.value.position);
        if (!frame.value.fleetWide) {
          this.#owed.add(batch.marks);
          this.#sendLater(link, timeoutMs);
        }
      }
    } catch (error) {
      if (!(error instanceof RefusedError) || error.grpcCode !== GrpcCode.INVALID_ARGUMENT) throw error;
      // One tag that the daemon cannot take must not cost the others.
      if (batch.marks.length > 1) {
        for (const { tag } of batch.marks) await this.#send(link, this.#outbox.take([tag]), timeoutMs);
        return;
      }
      this.#log.warnSeldom("revalidate", `the daemon refuses to revalidate a tag: ${error.message}`);
    }
    this.#outbox.settle(batch);
  }
}
