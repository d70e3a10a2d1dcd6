import { Applied } from "./applied.js";
import type { Position } from "./gen/isrd/v1/entry_pb.js";
import type { Event, Pong, Welcome } from "./gen/isrd/v1/session_pb.js";
import { comparePositions } from "./order.js";
import { Vouching } from "./vouching.js";

/** What this process holds and events of the log put an end to. Every method has done so when it returns. */
export interface Memory {
  /** These events came, in the order of the log. */
  apply(events: readonly Event[]): void;
  /** The daemon follows the log at this position, and has told all events before it. */
  reached(position: Position): void;
  /** Events were missed: nothing that is held can be judged any more. They go on from the position, where it is known. */
  reset(position: Position | undefined): void;
}

/**
 * How this process follows the app's log, over as many connections as it takes: what it has applied, and whether what it
 * holds may be used without asking.
 */
export class Following {
  readonly #applied = new Applied();
  readonly #vouching: Vouching;
  readonly #memory: Memory;
  /** Something that was answered knows the log up to here, and this process does not yet. */
  #ahead: Position | undefined;

  constructor(memory: Memory, now?: () => number) {
    this.#memory = memory;
    this.#vouching = new Vouching(now);
  }

  /** The last position that was applied; undefined before the first welcome. Survives the connection. */
  get position(): Position | undefined {
    return this.#applied.position;
  }

  /** Whether the memory is as good as an answer of the daemon. */
  get vouched(): boolean {
    return this.#ahead === undefined && this.#vouching.holds;
  }

  /** Waits until everything up to a position has been applied. Rejects with an IsrdError `timeout`. */
  reached(position: Position, timeoutMs: number): Promise<void> {
    return this.#applied.reached(position, timeoutMs);
  }

  /** A session has begun, by a hello that was sent at `sentAt`. If it continues the last one, what was missed comes next. */
  welcomed(welcome: Welcome, sentAt: number): void {
    if (welcome.resumed && this.#applied.position) {
      this.answered(welcome.position);
    } else {
      this.#restart(welcome.position);
    }
    this.#vouching.renew(sentAt, welcome.validityMs);
  }

  /** There is no session, or its daemon is silent. */
  pause(): void {
    this.#vouching.end();
  }

  events(events: readonly Event[]): void {
    this.#memory.apply(events);
    this.#advance(events.at(-1)?.position);
  }

  reset(position: Position | undefined): void {
    this.#ahead = undefined;
    this.#restart(position);
  }

  /** The answer to a ping that was sent at `sentAt`. */
  pong({ position, validityMs }: Pong, sentAt: number): void {
    if (position) this.#memory.reached(position);
    this.#advance(position);
    this.#vouching.renew(sentAt, validityMs);
  }

  /**
   * Something was answered by a daemon that has applied this position. Usually all events up to it came before the answer.
   * One that came over an older connection may be ahead; then nothing older is used beside it.
   */
  answered(position: Position | undefined): void {
    if (!position || this.#covers(position)) return;
    if (!this.#ahead || comparePositions(position, this.#ahead) > 0) this.#ahead = position;
  }

  #restart(position: Position | undefined): void {
    this.#memory.reset(position);
    this.#applied.restart(position);
    if (position?.epoch !== this.#ahead?.epoch) this.#ahead = undefined;
    this.#catchUp();
  }

  #advance(position: Position | undefined): void {
    this.#applied.advance(position);
    this.#catchUp();
  }

  #catchUp(): void {
    if (this.#ahead && this.#covers(this.#ahead)) this.#ahead = undefined;
  }

  #covers(position: Position): boolean {
    const applied = this.#applied.position;
    return applied !== undefined && comparePositions(applied, position) >= 0;
  }
}
