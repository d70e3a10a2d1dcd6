// A reporter of node:test that writes a line of JSON for each test: what run.ts makes its table of.
import path from "node:path";

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
      reason: typeof data.skip === "string" ? data.skip : "",
    })}\n`;
  }
}

function stateOf(type, { skip }) {
  if (skip !== undefined) return "skip";
  return type === "test:fail" ? "FAIL" : "ok";
}

/** A suite counts where it was skipped as a whole, and where it failed by itself, as its before and after can. */
function counts(state, { details }) {
  if (details.type !== "suite" || state === "skip") return true;
  return state === "FAIL" && details.error?.failureType !== "subtestsFailed";
}
