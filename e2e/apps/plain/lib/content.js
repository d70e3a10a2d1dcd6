const DEFAULT_KB = 110;

/**
 * What a path's last segment asks for: `300k-x` is a page with 300 KB of text, `missing-x` none, `moved-x` a redirect, and
 * `broken-x` cannot be rendered.
 */
export function wanted(id) {
  const kb = /^(\d+)k-/.exec(id)?.[1];
  const is = (what) => id.startsWith(`${what}-`);
  return { kb: kb ? Number(kb) : DEFAULT_KB, missing: is("missing"), moved: is("moved"), broken: is("broken") };
}

/** The line by which tests know which render a response came from, and how old its data was. */
export function marker({ render, version, fetched = 0 }) {
  return `[[render=${render} version=${version} fetched=${fetched}]]`;
}

const WORDS = ["table", "façade", "größe", "棚", "lámpara", "стол", "0123456789", "quick & <quiet>", "chaise", "🪑"];

/** About so many kilobytes of text in several scripts, the same for the same render. */
export function filler(kb, render) {
  const lines = [];
  let state = render + 1;
  for (let bytes = 0; bytes < kb * 1024; ) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    const line = `${state.toString(36)} ${WORDS[state % WORDS.length]}`;
    lines.push(line);
    bytes += Buffer.byteLength(line) + 1;
  }
  return lines.join("\n");
}
