import { IsrdError } from "./errors.js";
import { JobOutcome, type JobRecord, JobState, Priority } from "./gen/isrd/v1/revalidation_pb.js";
import { toMark } from "./next/lifetime.js";
import { encodePath } from "./next/routing.js";
import { enqueue, follow } from "./revalidation-client.js";

/** A tag to revalidate: gone at once, or with `expire` stale now and gone after so many seconds. */
export type RevalidationTag = string | { readonly tag: string; readonly expire?: number };

/** How paths are regenerated. */
export interface RevalidationOptions {
  /** Who goes first: somebody waits (`interactive`), nobody does (`normal`), or it is one of thousands (`bulk`). @default "interactive" */
  readonly priority?: "interactive" | "normal" | "bulk";
  /** Regenerate only what is cached. @default false */
  readonly onlyIfCached?: boolean;
  /** Wait until all jobs have come to their ends: `true` for at most a minute, or so many milliseconds. @default false */
  readonly wait?: boolean | number;
}

/** What has changed. */
export interface RevalidationRequest extends RevalidationOptions {
  /** Paths to regenerate, as in a browser's address bar, without host, `basePath` and query. */
  readonly paths?: readonly string[];
  /** Tags to revalidate first, everywhere. */
  readonly tags?: readonly RevalidationTag[];
}

/** How {@link revalidatePath} marks and regenerates. */
export interface RevalidatePathOptions extends RevalidationOptions {
  /** Mark only; the next visitor has it rendered. @default true */
  readonly regenerate?: boolean;
}

/** The regeneration of one path for one build. */
export interface RevalidationJob {
  readonly id: string;
  readonly path: string;
  /** The BUILD_ID; empty: of the first build that gets a process. */
  readonly buildId: string;
  /** The same was queued already, and nobody had begun: this is that job. */
  readonly collapsed: boolean;
  /** Where it is: `queued`, but with `wait` its end. `unknown`: it ended long ago, or its queue was lost. */
  readonly state: "queued" | "done" | "dead" | "unknown";
  /** What became of it, once it is done. */
  readonly outcome?: "written" | "not-found" | "redirected" | "not-cached" | "no-write" | "too-large";
  /** Why it is dead, or has this outcome; empty if there is nothing to say. */
  readonly reason?: string;
}

/** What was done, and what was queued. */
export interface RevalidationResult {
  /** The tags are revalidated in every replica; false: on this node only, until the store is back. True without tags. */
  readonly everywhere: boolean;
  /** One for each path and build. */
  readonly jobs: readonly RevalidationJob[];
}

const WAIT_MS = 60_000;

const PRIORITIES = {
  interactive: Priority.INTERACTIVE,
  normal: Priority.NORMAL,
  bulk: Priority.BULK,
} as const;

/**
 * Content has changed: revalidates tags everywhere, and has paths regenerated, each by one process of every build. When it
 * returns, no replica answers with what the tags invalidate, and the paths are queued; with `wait` they are regenerated.
 *
 * For API routes, route handlers and scripts. In a process with the handler it uses the connection that is there; a
 * script finds the daemon by ISRD_ADDRESS, and the app by ISRD_APP or the package.json of its directory. It ends by itself.
 *
 * Rejects with an {@link IsrdError} if the daemon is away (`unavailable`), does not answer (`timeout`), or says no
 * (`refused`: what was asked for is wrong, or the queue is full). Asking again is harmless.
 *
 * @example
 * const { jobs } = await revalidate({ paths: ["/products/1", "/products"], tags: ["products"], wait: true });
 * for (const { path, state, outcome, reason } of jobs) console.log(path, state, outcome, reason);
 */
export async function revalidate(request: RevalidationRequest): Promise<RevalidationResult> {
  const { paths = [], tags = [], priority = "interactive", onlyIfCached = false, wait = false } = request;
  if (paths.length === 0 && tags.length === 0) return { everywhere: true, jobs: [] };
  const response = await enqueue({
    paths: [...paths],
    tags: tags.map((tag) => (typeof tag === "string" ? { tag } : { tag: tag.tag, ...toMark(tag.expire) })),
    priority: PRIORITIES[priority],
    onlyIfCached,
  });
  const jobs = response.jobs.map(({ jobId, path, build, collapsed }) => {
    return { id: jobId, path, buildId: build?.buildId ?? "", collapsed, state: "queued" as const };
  });
  const everywhere = response.revalidated?.fleetWide ?? true;
  if (wait === false) return { everywhere, jobs };
  const ends = new Map<string, JobRecord>();
  await follow(
    jobs.map(({ id }) => id),
    wait === true ? WAIT_MS : wait,
    (job) => ends.set(job.jobId, job),
  );
  return { everywhere, jobs: jobs.map((job) => ({ ...job, ...endOf(ends.get(job.id)) })) };
}

/**
 * Revalidates tags in every replica, and returns when that is acknowledged: no read that begins then is answered by what
 * they invalidate. Unlike Next.js's `revalidateTag` it works outside of Next.js too, and fails where it cannot be done.
 * Nothing is regenerated until somebody asks for it, or as `--refresh-hot` says.
 *
 * Rejects as {@link revalidate} does, and with `unavailable` if only this node could be told, which tells the others later.
 *
 * @example
 * await revalidateTag("products");
 * await revalidateTag(["products", "prices"], { expire: 60 }); // stale now, gone in a minute
 */
export async function revalidateTag(
  tags: string | readonly string[],
  { expire }: { expire?: number } = {},
): Promise<void> {
  const list = typeof tags === "string" ? [tags] : tags;
  const { everywhere } = await revalidate({
    tags: list.map((tag) => (expire === undefined ? tag : { tag, expire })),
  });
  if (!everywhere) throw new IsrdError("unavailable", "only this node knows of it until the daemon's store is back");
}

/**
 * Marks a path in every replica, as Next.js's `revalidatePath` does, and has it regenerated by one process of every build
 * before the next visitor asks. With a type the path is the pattern of a route, and all pages of it are only marked: which
 * they are, nobody knows.
 *
 * Rejects as {@link revalidate} does.
 *
 * @example
 * await revalidatePath("/products/1");
 * await revalidatePath("/products/1", { wait: true });
 * await revalidatePath("/products/[id]", "page");
 */
export function revalidatePath(
  path: string,
  how: "page" | "layout" | RevalidatePathOptions = {},
): Promise<RevalidationResult> {
  if (typeof how === "string") return revalidate({ tags: [`_N_T_${path === "/" ? "" : path}/${how}`] });
  const { regenerate = true, ...options } = how;
  return revalidate({ ...options, tags: tagsOfPath(path), paths: regenerate ? [path] : [] });
}

/** As versions of Next.js write it: from 16 on with everything but ASCII encoded, and the root as `/index` too. */
function tagsOfPath(path: string): string[] {
  const plain = path.replace(/\/+$/, "") || "/";
  const spellings = [plain, encodePath(decoded(plain)), decoded(plain), ...(plain === "/" ? ["/index"] : [])];
  return [...new Set(spellings)].map((spelling) => `_N_T_${spelling}`);
}

function decoded(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

const OUTCOMES: Partial<Record<JobOutcome, NonNullable<RevalidationJob["outcome"]>>> = {
  [JobOutcome.WRITTEN]: "written",
  [JobOutcome.NOT_FOUND]: "not-found",
  [JobOutcome.REDIRECTED]: "redirected",
  [JobOutcome.NOT_CACHED]: "not-cached",
  [JobOutcome.NO_WRITE]: "no-write",
  [JobOutcome.TOO_LARGE]: "too-large",
};

function endOf(record: JobRecord | undefined): Pick<RevalidationJob, "state" | "outcome" | "reason"> {
  if (!record || record.state === JobState.UNSPECIFIED) return { state: "unknown" };
  const outcome = OUTCOMES[record.outcome];
  const state = record.state === JobState.DEAD ? "dead" : "done";
  return { state, reason: record.reason, ...(outcome ? { outcome } : {}) };
}
