// Seeded randomness: the same seed gives the same shop and the same traffic on every machine.

/**
 * A source of random numbers.
 *
 * @callback Random
 * @returns {number} a number in [0, 1)
 */

/**
 * Returns a generator (mulberry32: 32 bits of state, good enough for traffic, not for secrets).
 *
 * @param {number} seed any integer; only its low 32 bits count
 * @returns {Random}
 */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Picks one element.
 *
 * @template T
 * @param {readonly T[]} list not empty
 * @param {Random} random
 * @returns {T}
 */
export function pick(list, random) {
  return /** @type {T} */ (list[Math.floor(random() * list.length)]);
}

/**
 * Returns a shuffled copy (Fisher–Yates).
 *
 * @template T
 * @param {readonly T[]} list
 * @param {Random} random
 * @returns {T[]}
 */
export function shuffle(list, random) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [/** @type {T} */ (copy[j]), /** @type {T} */ (copy[i])];
  }
  return copy;
}
