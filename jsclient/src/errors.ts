/**
 * What went wrong, for code that must decide what to do next.
 *
 * - `address`: ISRD_ADDRESS cannot be understood; nothing will work until it is changed.
 * - `unavailable`: the daemon cannot be reached, or the connection to it broke.
 * - `timeout`: the daemon is there but did not answer within the deadline.
 * - `overloaded`: the outgoing queue is full; the request was not sent.
 * - `refused`: the daemon answered with a refusal; see {@link RefusedError}.
 * - `unreadable`: bytes that are no valid answer or entry.
 */
export type IsrdErrorCode = "address" | "unavailable" | "timeout" | "overloaded" | "refused" | "unreadable";

/** Every error of this package. None of them ever reaches Next.js, to which a failure is a miss; `revalidate` throws them. */
export class IsrdError extends Error {
  readonly code: IsrdErrorCode;

  constructor(code: IsrdErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "IsrdError";
    this.code = code;
  }
}

/** The gRPC status codes that decisions depend on. */
export const GrpcCode = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** The daemon said no. `grpcCode` is the gRPC status code that it gave. */
export class RefusedError extends IsrdError {
  readonly grpcCode: number;

  constructor(grpcCode: number, message: string) {
    super("refused", message);
    this.name = "RefusedError";
    this.grpcCode = grpcCode;
  }

  /** Whether the same request would be refused for ever: repeating it is pointless until somebody changes a setting. */
  get lasting(): boolean {
    switch (this.grpcCode) {
      case GrpcCode.INVALID_ARGUMENT:
      case GrpcCode.PERMISSION_DENIED:
      case GrpcCode.FAILED_PRECONDITION:
      case GrpcCode.UNIMPLEMENTED:
      case GrpcCode.UNAUTHENTICATED:
        return true;
      default:
        return false;
    }
  }
}

/** An entry is larger than the daemon takes: it was not sent. */
export class TooLargeError extends RefusedError {
  constructor(bytes: number, limit: number) {
    super(GrpcCode.RESOURCE_EXHAUSTED, `it has ${bytes} bytes, and the daemon takes ${limit}`);
    this.name = "TooLargeError";
  }
}

/** The daemon cannot be reached. */
export function unavailable(message: string): IsrdError {
  return new IsrdError("unavailable", message);
}

/** Anything that was thrown, as an Error. */
export function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
