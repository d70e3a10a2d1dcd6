import { IsrdError } from "./errors.js";
import type { Position } from "./gen/isrd/v1/entry_pb.js";
import { comparePositions } from "./order.js";

/** How far this process has followed the app's invalidation log. */
export class Applied {
  readonly #waiting = new Set<() => void>();
  #position: Position | undefined;

  /** The last position that was applied; undefined before the first welcome. Survives the connection. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** Everything up to the position has been applied. An earlier one changes nothing. */
  advance(position: Position | undefined): void {
    if (!position || (this.#position && comparePositions(position, this.#position) < 0)) return;
    this.#set(position);
  }

  /** Follows from here on, be it later or earlier. */
  restart(position: Position | undefined): void {
    if (position) this.#set(position);
  }

  /** Waits until everything up to a position has been applied. Rejects with an IsrdError `timeout`. */
  reached(position: Position, timeoutMs: number): Promise<void> {
    if (this.#covers(position)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (this.#covers(position)) done(resolve);
      };
      const done = (settle: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        settle();
      };
      const late = new IsrdError("timeout", "the events before an answer did not arrive in time");
      const timer = setTimeout(() => done(() => reject(late)), timeoutMs);
      this.#waiting.add(check);
    });
  }

  #covers(position: Position): boolean {
    return this.#position !== undefined && comparePositions(this.#position, position) >= 0;
  }

  #set(position: Position): void {
    this.#position = position;
    for (const check of [...this.#waiting]) check();
  }
}
