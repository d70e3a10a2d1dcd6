import { GrpcCode, IsrdError, RefusedError } from "./errors.js";
import type { Log } from "./log.js";

/** Whether the daemon will say the same until somebody changes a setting. */
export function isLasting(error: Error): boolean {
  return error instanceof RefusedError ? error.lasting : error instanceof IsrdError && error.code === "address";
}

/** Tells people of the session: one line for each change, and why it is still so only with ISRD_LOG=debug. */
export class Report {
  readonly #log: Log;
  #told: "connected" | "unavailable" | "refused" | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  connected(where: string): void {
    this.#tell("connected", `connected to ${where}`);
  }

  unavailable(error: Error): void {
    if (isLasting(error)) this.#tell("refused", explain(error));
    else
      this.#tell("unavailable", `unavailable: ${error.message}; until it is back, pages are kept in this process only`);
  }

  #tell(what: "connected" | "unavailable" | "refused", line: string): void {
    const changed = this.#told !== what;
    this.#told = what;
    if (!changed) this.#log.debug(line);
    else if (what === "connected") this.#log.info(line);
    else this.#log.warn(line);
  }
}

function explain(error: Error): string {
  if (!(error instanceof RefusedError)) return error.message;
  switch (error.grpcCode) {
    case GrpcCode.UNAUTHENTICATED:
      return `refused by the daemon: wrong token (${error.message}); set ISRD_TOKEN to the daemon's token`;
    case GrpcCode.PERMISSION_DENIED:
      return `refused by the daemon: ${error.message}; set ISRD_APP to an app that its --app allows`;
    case GrpcCode.UNIMPLEMENTED:
      return `refused: what listens at ISRD_ADDRESS is no isrd daemon (${error.message})`;
    default:
      return `refused by the daemon: ${error.message}`;
  }
}
