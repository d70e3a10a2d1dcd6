// The pages of the shop: which there are, which router serves them, how long they live and what they show.
// The shop itself (shop/) declares the same lifetimes to Next.js; test/pages.test.mjs compares the two.

/** Products 1 … PRODUCTS; the shelf, and with it the route, follows from the number. */
export const PRODUCTS = 275;

/** Categories 1 … CATEGORIES; a product's category follows from its number. */
export const CATEGORIES = 24;

/** How long a page is fresh, in seconds, by route: the `revalidate` that the route exports or returns. */
export const LIFETIMES = Object.freeze({ home: 10, p: 3600, deals: 15, product: 3600, c: 20 });

/**
 * A page of the shop.
 *
 * @typedef {object} Page
 * @property {string} path its URL path
 * @property {keyof typeof LIFETIMES} route which route serves it
 * @property {'app' | 'pages'} router which router the route belongs to
 * @property {number} lifetimeSeconds how long a render of it is fresh
 * @property {number[]} products the products that it shows with their version; a listing has many
 */

/**
 * The shelf of a product: `p` and `deals` are App Router routes, `product` is a Pages Router route.
 *
 * @param {number} product
 * @returns {'p' | 'deals' | 'product'}
 */
export function shelfOf(product) {
  if (product <= 125) return "p";
  return product <= 155 ? "deals" : "product";
}

/**
 * @param {number} product
 * @returns {string} the path of its page
 */
export function productPath(product) {
  return `/${shelfOf(product)}/${product}`;
}

/**
 * @param {number} product
 * @returns {number} its category
 */
export function categoryOf(product) {
  return ((product - 1) % CATEGORIES) + 1;
}

/**
 * @param {number} category
 * @returns {string} the path of its page
 */
export function categoryPath(category) {
  return `/c/${category}`;
}

/**
 * @param {number} category
 * @returns {number[]} the products in it
 */
export function productsOf(category) {
  return range(PRODUCTS).filter((product) => categoryOf(product) === category);
}

/** The products on the home page, and those whose pages `next build` prerenders. */
export const BESTSELLERS = Object.freeze([3, 17, 29, 44, 58, 71, 128, 137, 146, 160, 188, 231]);

/** @returns {Page[]} every page, the home page first: 1 + CATEGORIES + PRODUCTS of them */
export function allPages() {
  /** @type {Page[]} */
  const pages = [page("/", "home", [...BESTSELLERS])];
  for (const category of range(CATEGORIES)) pages.push(page(categoryPath(category), "c", productsOf(category)));
  for (const product of range(PRODUCTS)) pages.push(page(productPath(product), shelfOf(product), [product]));
  return pages;
}

/**
 * @param {string} path
 * @param {Page['route']} route
 * @param {number[]} products
 * @returns {Page}
 */
function page(path, route, products) {
  const router = route === "product" || route === "c" ? "pages" : "app";
  return { path, route, router, lifetimeSeconds: LIFETIMES[route], products };
}

/**
 * @param {number} count
 * @returns {number[]} 1 … count
 */
function range(count) {
  return Array.from({ length: count }, (_, index) => index + 1);
}
