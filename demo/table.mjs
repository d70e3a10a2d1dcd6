// The table at the end. Says nothing that is not one of the figures.

/**
 * A row: its name, and how a leg's figures fill it.
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {(figures: import('./figures.mjs').Figures) => number} value
 * @property {(value: number) => string} format
 */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 }).format;

/** @param {number} value */
const decimal = (value) => value.toFixed(2);

/** @param {number} value */
const milliseconds = (value) => (value < 10 ? value.toFixed(1) : whole(value));

/** @param {number} value */
const percent = (value) => `${(value * 100).toFixed(1)} %`;

/** @type {readonly Row[]} */
const ROWS = [
  { name: "requests", value: ({ requests }) => requests, format: whole },
  { name: "errors", value: ({ errors }) => errors, format: whole },
  { name: "p50, ms", value: ({ p50Ms }) => p50Ms, format: milliseconds },
  { name: "p95, ms", value: ({ p95Ms }) => p95Ms, format: milliseconds },
  { name: "p99, ms", value: ({ p99Ms }) => p99Ms, format: milliseconds },
  { name: "origin calls", value: ({ originCalls }) => originCalls, format: whole },
  { name: "renders", value: ({ renders }) => renders, format: whole },
  { name: "renders per page", value: ({ rendersPerPage }) => rendersPerPage, format: decimal },
  { name: "hit rate", value: ({ hitRate }) => hitRate, format: percent },
  { name: "old pages after the revalidation returned", value: ({ oldPages }) => oldPages, format: whole },
  { name: "renders caused by the restart", value: ({ restartRenders }) => restartRenders, format: whole },
];

const LEGEND = `
errors            no whole answer within 10 s, a status other than 200, or a page without its products
p50, p95, p99     over all requests, from when a request was due until its last byte
origin calls      counted by the origin
renders           counted by the page itself, each time it is rendered after the build
renders per page  renders divided by the distinct pages that were asked for
hit rate          answers with x-nextjs-cache HIT or STALE: nobody waited for a render
old pages …       requests sent after the webhook of one replica had returned, answered with a changed product in its
                  earlier version
… by the restart  renders by the restarted replica of pages that its former process had answered, from a copy that would
                  still have been fresh
`.trim();

/**
 * Lays the table out, one column for each leg, with the legend below it.
 *
 * @param {readonly { title: string, figures: import('./figures.mjs').Figures }[]} legs one or two; with two, a last
 *   column says how the second differs from the first
 * @returns {string} lines, without a line end after the last
 */
export function formatTable(legs) {
  const [first, second] = legs;
  const rows = ROWS.map(({ name, value, format }) => {
    const cells = [name, ...legs.map(({ figures }) => format(value(figures)))];
    return first && second ? [...cells, difference(value(first.figures), value(second.figures))] : cells;
  });
  const head = ["", ...legs.map(({ title }) => title), ...(second ? ["difference"] : [])];
  return `${layOut([head, ...rows])}\n\n${LEGEND}`;
}

/**
 * @param {number} from
 * @param {number} to
 * @returns {string} the relative difference; empty if there is none, or nothing to compare with
 */
export function difference(from, to) {
  if (from === to || from === 0 || !Number.isFinite(to / from)) return "";
  const change = (to / from - 1) * 100;
  return `${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(Math.abs(change) < 10 ? 1 : 0)} %`;
}

/**
 * @param {readonly string[][]} rows the first is the head
 * @returns {string} the first column flush left, the others flush right
 */
function layOut(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("   ")
      .trimEnd(),
  );
  const rule = "─".repeat(widths.reduce((sum, width) => sum + width, 0) + 3 * (widths.length - 1));
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}
