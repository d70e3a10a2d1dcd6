import { IsrdError, RefusedError } from "../../src/errors.js";
import type { Dial, StreamEvents, Transport } from "../../src/transport.js";
import type { FakeDaemon } from "./fake-daemon.js";

/** What a memory transport did, for tests that ask. */
export interface MemoryPeer {
  dials: number;
  /** Whether the connection keeps the process alive. */
  alive: boolean;
  /** Frames that may lie in the outgoing queue; 0 makes every send fail. */
  queue: number;
  /** Frames that found the queue full. */
  refusals: number;
  /** Why a dial fails, if it shall. */
  refuse: Error | undefined;
}

/** Connects to a fake daemon without a socket: the same bytes, delivered in later turns of the event loop. */
export function dialMemory(daemon: FakeDaemon): { dial: Dial; peer: MemoryPeer } {
  const peer: MemoryPeer = { dials: 0, alive: false, queue: Number.POSITIVE_INFINITY, refusals: 0, refuse: undefined };
  const dial: Dial = (_address, { signal }) => {
    peer.dials += 1;
    if (peer.refuse) return Promise.reject(peer.refuse);
    if (signal.aborted) return Promise.reject(new IsrdError("unavailable", "aborted"));
    return Promise.resolve(connect(daemon, peer));
  };
  return { dial, peer };
}

function connect(daemon: FakeDaemon, peer: MemoryPeer): Transport {
  let over = false;
  let accepted: ReturnType<FakeDaemon["accept"]> | undefined;
  return {
    open: (events: StreamEvents) => {
      const finish = (error: Error): void => {
        if (over) return;
        over = true;
        accepted?.gone();
        setImmediate(() => events.end(error));
      };
      accepted = daemon.accept({
        send: (bytes) =>
          setImmediate(() => {
            if (!over) events.frame(bytes);
          }),
        end: (code, details) =>
          finish(code === 14 ? new IsrdError("unavailable", details) : new RefusedError(code, details)),
      });
      return {
        send: (frame) => {
          if (peer.queue <= 0) {
            peer.refusals += 1;
            return false;
          }
          setImmediate(() => {
            if (!over) accepted?.receive(frame);
          });
          return true;
        },
      };
    },
    unary: async (method, request) => {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (over) throw new IsrdError("unavailable", "closed");
      return Buffer.from(daemon.callUnary(method, request));
    },
    hold: (alive) => {
      peer.alive = alive;
    },
    close: () => {
      if (over) return;
      over = true;
      accepted?.gone();
    },
  };
}
