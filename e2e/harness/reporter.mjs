// A reporter of node:test that writes a line of JSON for each test: what run.ts makes its table of.
import path from "node:path";

const REASON_CHARS = 200;

export default async function* reporter(events) {
  /** The names of what is running around a test, outermost first; the files of a run come one after the other. */
  const names = [];
  for await (const { type, data } of events) {
    if (type === "test:start") names.splice(data.nesting, names.length, data.name);
    if (type !== "test:pass" && type !== "test:fail") continue;
    const state = stateOf(type, data);
    if (!counts(state, data)) continue;
    yield `${JSON.stringify({
      file: path.basename(data.file ?? ""),
      names: [...names.slice(0, data.nesting), data.name],
      state,
      reason: reasonOf(data),
    })}\n`;
  }
}

function stateOf(type, { skip }) {
  if (skip !== undefined) return "skip";
  return type === "test:fail" ? "FAIL" : "ok";
}

/** Why it was skipped, or what went wrong, in a line. */
function reasonOf({ skip, details }) {
  if (typeof skip === "string") return skip;
  const { cause, message = "" } = details.error ?? {};
  return String(cause?.message ?? message)
    .replace(/\s+/g, " ")
    .slice(0, REASON_CHARS);
}

/** A suite counts where it was skipped as a whole, and where it failed by itself, as its before and after can. */
function counts(state, { details }) {
  if (details.type !== "suite" || state === "skip") return true;
  return state === "FAIL" && details.error?.failureType !== "subtestsFailed";
}
