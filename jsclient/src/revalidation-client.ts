import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Address, addressesFrom } from "./address.js";
import { configFrom, logLevelFrom } from "./config.js";
import { dialFirst } from "./dialling.js";
import { IsrdError, type IsrdErrorCode, toError } from "./errors.js";
import {
  EnqueueRequestSchema,
  type EnqueueResponse,
  EnqueueResponseSchema,
  type JobRecord,
  JobState,
  RevalidationService,
  WatchRequestSchema,
  WatchResponseSchema,
} from "./gen/isrd/v1/revalidation_pb.js";
import { dialGrpc, streamGrpc } from "./grpc-transport.js";
import { createLog } from "./log.js";
import { findApp } from "./next/build.js";
import { peekRuntime } from "./runtime.js";
import type { UnaryMethod } from "./transport.js";

const ENQUEUE = pathOf(RevalidationService.method.enqueue.name);
const WATCH = pathOf(RevalidationService.method.watch.name);

const DIAL_TIMEOUT_MS = 1000;
/** On top of what the fleet is given to acknowledge marks: thousands of jobs take longer. */
const ENQUEUE_TIMEOUT_MS = 10_000;
/** What one Watch takes. */
const MAX_WATCHED = 1000;
/** After a Watch that broke, in milliseconds: the jobs go on, and perhaps another daemon answers. */
const WATCH_AGAIN_MS = 200;

function pathOf(method: string): UnaryMethod {
  return `/${RevalidationService.typeName}/${method}`;
}

/** What is asked for, but for the app. */
export type Enqueue = Omit<MessageInitShape<typeof EnqueueRequestSchema>, "$typeName" | "app">;

/**
 * Enqueues, over the session of this process if it has one, else over a connection that ends with the answer.
 *
 * Rejects with an IsrdError.
 */
export async function enqueue(request: Enqueue): Promise<EnqueueResponse> {
  try {
    const { app, call } = channel();
    const message = Buffer.from(toBinary(EnqueueRequestSchema, create(EnqueueRequestSchema, { ...request, app })));
    return fromBinary(EnqueueResponseSchema, await call(ENQUEUE, message));
  } catch (error) {
    throw asIsrdError(error);
  }
}

/**
 * Waits until jobs have come to their ends, and tells of each as it is then; the daemon may go and come back meanwhile.
 *
 * Rejects with an IsrdError: `timeout` when the time is over.
 */
export async function follow(ids: readonly string[], timeoutMs: number, ended: (job: JobRecord) => void) {
  const left = new Set(ids);
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), timeoutMs); // It also keeps a script alive that does nothing but wait.
  try {
    await followAll(left, over.signal, ended);
  } catch (error) {
    if (!over.signal.aborted) throw error;
    throw new IsrdError("timeout", `${left.size} of ${ids.length} jobs have not ended in ${timeoutMs} ms`);
  } finally {
    clearTimeout(timer);
  }
}

async function followAll(left: Set<string>, over: AbortSignal, ended: (job: JobRecord) => void): Promise<void> {
  while (left.size > 0) {
    try {
      await watch([...left].slice(0, MAX_WATCHED), over, (job) => {
        if (left.delete(job.jobId)) ended(job);
      });
    } catch (error) {
      const known = asIsrdError(error);
      if (over.aborted || known.code !== "unavailable") throw known;
      await new Promise((resolve) => setTimeout(resolve, WATCH_AGAIN_MS));
    }
  }
}

async function watch(jobIds: string[], signal: AbortSignal, ended: (job: JobRecord) => void): Promise<void> {
  const { app, token } = channel();
  const request = Buffer.from(toBinary(WatchRequestSchema, create(WatchRequestSchema, { app, jobIds })));
  const [address] = addressesFrom(process.env) as [Address];
  for await (const frame of streamGrpc(address, { token, signal }, WATCH, request)) {
    const { job } = fromBinary(WatchResponseSchema, frame);
    if (job && isOver(job)) ended(job);
  }
}

/** Done, dead, or not known any more. */
function isOver({ state }: JobRecord): boolean {
  return state === JobState.UNSPECIFIED || state === JobState.DONE || state === JobState.DEAD;
}

interface Channel {
  readonly app: string;
  readonly token: string | undefined;
  readonly call: (method: UnaryMethod, request: Buffer) => Promise<Buffer>;
}

function channel(): Channel {
  const runtime = peekRuntime();
  if (runtime) {
    const { session, served, config } = runtime;
    const timeoutMs = config.revalidateTimeoutMs + ENQUEUE_TIMEOUT_MS;
    const call = (method: UnaryMethod, request: Buffer) => session.unary(method, () => request, timeoutMs);
    return { app: served.app, token: config.token, call };
  }
  const log = createLog(logLevelFrom(process.env));
  const { token, revalidateTimeoutMs } = configFrom(process.env, log);
  const app = findApp(process.cwd(), process.env, log);
  return { app, token, call: (method, request) => callOnce(method, request, token, revalidateTimeoutMs) };
}

async function callOnce(
  method: UnaryMethod,
  request: Buffer,
  token: string | undefined,
  timeoutMs: number,
): Promise<Buffer> {
  const options = { dial: dialGrpc, token, timeoutMs: DIAL_TIMEOUT_MS };
  const alive = setInterval(() => {}, DIAL_TIMEOUT_MS); // While it connects, nothing else may keep a script alive.
  try {
    const { transport } = await dialFirst(addressesFrom(process.env), options);
    transport.hold(true);
    return await transport.unary(method, request, timeoutMs + ENQUEUE_TIMEOUT_MS).finally(() => transport.close());
  } finally {
    clearInterval(alive);
  }
}

/** One that the caller knows by its class: what a session throws may be of another copy of this package. */
function asIsrdError(thrown: unknown): IsrdError {
  if (thrown instanceof IsrdError) return thrown;
  const { code } = thrown as { code?: IsrdErrorCode };
  const error = toError(thrown);
  const ours = error.name === "IsrdError" || error.name === "RefusedError";
  return new IsrdError((ours && code) || "unavailable", error.message, { cause: thrown });
}
