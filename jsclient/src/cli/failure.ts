/** Why a command gives up, in a sentence that says what to do. It is all that its user sees. */
export class Failure extends Error {
  /** What the process exits with: 1, or 2 where the command line is wrong. */
  readonly exitCode: 1 | 2;

  constructor(message: string, options: ErrorOptions & { exitCode?: 1 | 2 } = {}) {
    super(message, options);
    this.name = "Failure";
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The command line is wrong. */
export function misuse(message: string): Failure {
  return new Failure(message, { exitCode: 2 });
}
