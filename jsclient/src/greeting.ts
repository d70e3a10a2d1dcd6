import type { MessageInitShape } from "@bufbuild/protobuf";
import { deferred, within } from "./deadline.js";
import { GrpcCode, IsrdError, RefusedError, toError } from "./errors.js";
import type { HelloSchema, Pong, Welcome } from "./gen/isrd/v1/session_pb.js";
import type { Work } from "./jobs.js";
import { Link, type LinkEvents, type ResponseFrame } from "./link.js";
import type { Transport } from "./transport.js";

/** The one version of the protocol that this client speaks. */
const PROTOCOL = 1;
const WELCOME_TIMEOUT_MS = 1000;

/** What happens on a link. */
export interface LinkObserver {
  /** What the process does for others, if anything. */
  readonly work: Work | undefined;
  /** The welcome is here, to a hello sent at this `performance.now()`. Called before any frame behind it is looked at. */
  welcomed(link: Link, welcome: Welcome, sentAt: number): void;
  /** A frame that answers no request. */
  heard(link: Link, frame: ResponseFrame): void;
  /** The answer to a ping sent at this `performance.now()`. */
  pong(link: Link, pong: Pong, sentAt: number): void;
  /** A frame could not be read. */
  unreadable(message: string): void;
  silent(link: Link): void;
  alive(link: Link): void;
  ended(link: Link, error: Error): void;
}

/**
 * Opens the session of a connection: says hello, and waits for the welcome, in the background. A refusal, now or later,
 * ends the link.
 *
 * Rejects, with the link closed, if there is no welcome or none that this version understands.
 */
export async function greet(
  transport: Transport,
  hello: MessageInitShape<typeof HelloSchema>,
  observer: LinkObserver,
): Promise<Link> {
  const welcomed = deferred<void>();
  const events: LinkEvents = {
    announcement: (frame) => {
      if (frame.case === "welcome") welcome(frame.value);
      else if (frame.case === "refusal") link.close(new RefusedError(frame.value.code, frame.value.message));
      else observer.heard(link, frame);
    },
    pong: (pong, sentAt) => observer.pong(link, pong, sentAt),
    unreadable: (message) => observer.unreadable(message),
    silent: () => observer.silent(link),
    alive: () => observer.alive(link),
    end: (error) => {
      welcomed.reject(error);
      observer.ended(link, error);
    },
  };
  const link: Link = new Link(transport, events, observer.work);
  const welcome = (frame: Welcome): void => {
    if (frame.protocol === PROTOCOL) {
      observer.welcomed(link, frame, sentAt);
      welcomed.resolve();
    } else {
      const mismatch = `it speaks protocol ${frame.protocol}, not ${PROTOCOL}`;
      link.close(new RefusedError(GrpcCode.FAILED_PRECONDITION, mismatch));
    }
  };
  const sentAt = performance.now();
  link.announce({ case: "hello", value: { ...hello, protocolMin: PROTOCOL, protocolMax: PROTOCOL } });
  const late = (): Error => new IsrdError("unavailable", "the daemon sent no welcome");
  try {
    await within(welcomed.promise, WELCOME_TIMEOUT_MS, late, { background: true });
    return link;
  } catch (error) {
    link.close(toError(error));
    throw error;
  }
}
