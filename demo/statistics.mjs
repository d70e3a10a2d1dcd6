// The little arithmetic that the demo needs.

/**
 * The nearest-rank percentile: the smallest value that at least this share of all values does not exceed.
 *
 * @param {readonly number[]} values in any order; not changed
 * @param {number} percent in (0, 100]
 * @returns {number} one of the values; NaN if there is none
 */
export function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

/**
 * Makes a picker of Zipf-distributed ranks: rank r (from 0) is drawn in proportion to 1 / (r + 1) ^ exponent.
 *
 * @param {number} count of ranks
 * @param {number} exponent 0 draws evenly; about 0.9 is usual for pages
 * @returns {(random: import('./random.mjs').Random) => number} draws one rank
 */
export function zipf(count, exponent) {
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) {
    sum += (rank + 1) ** -exponent;
    cumulative[rank] = sum;
  }
  return (random) => {
    const drawn = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (/** @type {number} */ (cumulative[middle]) > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
