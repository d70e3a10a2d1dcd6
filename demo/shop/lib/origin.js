/**
 * Asks the backend.
 *
 * @param {string} path such as `/products/17`
 * @param {{ revalidate: number, tags: string[] }} [next] how Next.js caches the answer; left out in the Pages Router,
 *   where it caches none
 * @returns {Promise<any>} the decoded answer, or null if there is no such thing
 */
export async function fromOrigin(path, next) {
  const response = await fetch(`${process.env.SHOP_ORIGIN}${path}`, next ? { next } : undefined);
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`origin ${path}: status ${response.status}`);
  return response.json();
}
