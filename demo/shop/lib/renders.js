import { appendFileSync } from "node:fs";

/**
 * Counts one render: writes a line to the replica's own file, which outlives the process. `next build` has no such file,
 * so what it renders is not counted.
 *
 * @param {string} path the page that is rendered
 * @returns {number} the time of the render, in milliseconds since 1970, for the page to show
 */
export function countRender(path) {
  const at = Date.now();
  const file = process.env.SHOP_RENDER_LOG;
  if (file) appendFileSync(file, `${JSON.stringify({ at, path })}\n`);
  return at;
}
