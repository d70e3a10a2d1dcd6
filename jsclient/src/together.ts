import type { TagMark } from "./outbox.js";

/**
 * Sends the marks of one turn as one. Next.js tells each of its handlers of a revalidation, one right after another.
 *
 * Only what has not been sent is joined, and nothing that is on its way: the second of two revalidations may be for
 * content that has changed since the first was applied.
 */
export class Together {
  readonly #send: (marks: readonly TagMark[]) => Promise<void>;
  #next: { readonly marks: Map<string, TagMark>; readonly sent: Promise<void> } | undefined;

  constructor(send: (marks: readonly TagMark[]) => Promise<void>) {
    this.#send = send;
  }

  /** Returns when these marks and those that were joined to them have been sent. */
  add(marks: readonly TagMark[]): Promise<void> {
    this.#next ??= this.#begin();
    for (const mark of marks) this.#next.marks.set(`${mark.expireSeconds ?? ""}:${mark.tag}`, mark);
    return this.#next.sent;
  }

  #begin(): { marks: Map<string, TagMark>; sent: Promise<void> } {
    const marks = new Map<string, TagMark>();
    const sent = Promise.resolve().then(() => {
      this.#next = undefined;
      return this.#send([...marks.values()]);
    });
    return { marks, sent };
  }
}
