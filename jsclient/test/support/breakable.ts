import { IsrdError } from "../../src/errors.js";
import type { Dial } from "../../src/transport.js";

/** Dials as `dial` does; `cut` breaks the connection that was made last, from this side. */
export function breakable(dial: Dial): { dial: Dial; cut: () => void } {
  let cut = (): void => {};
  const breaking: Dial = async (...args) => {
    const transport = await dial(...args);
    return {
      open: (events) => {
        cut = () => {
          transport.close();
          events.end(new IsrdError("unavailable", "cut"));
        };
        return transport.open(events);
      },
      unary: (...call) => transport.unary(...call),
      hold: (alive) => transport.hold(alive),
      close: () => transport.close(),
    };
  };
  return { dial: breaking, cut: () => cut() };
}
