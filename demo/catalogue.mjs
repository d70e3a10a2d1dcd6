// What the shop sells: products, reviews and categories, made up from their numbers, always the same.
import { BESTSELLERS, CATEGORIES, categoryOf, categoryPath, PRODUCTS, productPath, productsOf } from "./pages.mjs";
import { pick, seededRandom } from "./random.mjs";

const MATERIALS = [
  "oak",
  "linen",
  "steel",
  "wool",
  "cork",
  "slate",
  "bamboo",
  "canvas",
  "copper",
  "glass",
  "leather",
  "ash",
];
const THINGS = [
  "lamp",
  "desk",
  "chair",
  "kettle",
  "blanket",
  "shelf",
  "backpack",
  "notebook",
  "pan",
  "clock",
  "mirror",
  "stool",
];
const MAKERS = ["Nordhaven", "Alder & Finch", "Brightwater", "Kestrel", "Marlowe", "Tamar", "Fennel Row", "Oxbow"];
const PEOPLE = [
  "Ada",
  "Bruno",
  "Chiara",
  "Dmitri",
  "Elif",
  "Farid",
  "Greta",
  "Hugo",
  "Ines",
  "Jonas",
  "Kirsten",
  "Luca",
  "Mira",
  "Noor",
];
const OPENERS = [
  "I have used it every day for {n} months and",
  "After comparing {n} others for weeks,",
  "My partner was sceptical, but",
  "It arrived {n} days early, well packed, and",
  "For the price I expected less;",
  "We bought {n} of them for the office, and",
];
const MIDDLES = [
  "the finish is far better than the pictures suggest",
  "it has survived two moves and a curious toddler",
  "the proportions are exactly right for a small room",
  "nothing rattles, nothing wobbles, nothing smells of glue",
  "the instructions could be clearer, though the parts are numbered",
  "customer service answered within the hour and sent a missing screw",
  "the colour is warmer in daylight than under a lamp",
];
const CLOSERS = [
  "I would buy it again without hesitation.",
  "It lost one star for the delivery alone.",
  "My only wish is a larger size.",
  "Guests ask where it is from, every time.",
  "It does what it should, quietly, and that is rare.",
  "A second one is already on its way.",
];
const REVIEWS = 46;
const PARAGRAPHS = 9;

/**
 * A product as a listing shows it.
 *
 * @typedef {object} Teaser
 * @property {number} id
 * @property {number} version grows with every change of the product
 * @property {string} name
 * @property {string} href the path of its page
 * @property {number} cents its price; depends on the version
 */

/**
 * @param {number} id
 * @param {number} version
 * @returns {Teaser}
 */
export function teaser(id, version) {
  const random = seededRandom(id * 7919);
  const name = `${pick(MAKERS, random)} ${pick(MATERIALS, random)} ${pick(THINGS, random)}`;
  const base = 900 + Math.floor(random() * 24_000);
  return { id, version, name, href: productPath(id), cents: base + version * 10 };
}

/**
 * @param {number} id
 * @param {number} version
 * @returns {Teaser & { category: { id: number, href: string }, description: string[], specification: [string, string][], related: { name: string, href: string }[] }}
 *   everything that its page shows, but for the reviews
 */
export function product(id, version) {
  const random = seededRandom(id * 104_729);
  const category = categoryOf(id);
  return {
    ...teaser(id, version),
    category: { id: category, href: categoryPath(category) },
    description: Array.from({ length: PARAGRAPHS }, () => paragraph(random, 5)),
    specification: [
      ["Material", pick(MATERIALS, random)],
      ["Maker", pick(MAKERS, random)],
      ["Width", `${20 + Math.floor(random() * 180)} cm`],
      ["Height", `${20 + Math.floor(random() * 180)} cm`],
      ["Weight", `${(0.4 + random() * 30).toFixed(1)} kg`],
      ["Revision", String(version)],
    ],
    related: productsOf(category)
      .filter((other) => other !== id)
      .slice(0, 8)
      .map((other) => {
        const { name, href } = teaser(other, 1);
        return { name, href };
      }),
  };
}

/**
 * @param {number} id
 * @returns {{ id: string, author: string, stars: number, date: string, text: string }[]} the reviews of a product
 */
export function reviews(id) {
  const random = seededRandom(id * 15_485_863);
  return Array.from({ length: REVIEWS }, (_, index) => ({
    id: `${id}-${index + 1}`,
    author: `${pick(PEOPLE, random)} ${String.fromCharCode(65 + Math.floor(random() * 26))}.`,
    stars: 3 + Math.floor(random() * 3),
    date: `2026-0${1 + Math.floor(random() * 9)}-${10 + Math.floor(random() * 18)}`,
    text: paragraph(random, 5),
  }));
}

/**
 * @param {number} id
 * @param {(product: number) => number} versionOf
 * @returns {{ id: number, name: string, products: Teaser[] }}
 */
export function category(id, versionOf) {
  return { id, name: categoryName(id), products: productsOf(id).map((product) => teaser(product, versionOf(product))) };
}

/**
 * @param {(product: number) => number} versionOf
 * @returns {Teaser[]}
 */
export function bestsellers(versionOf) {
  return BESTSELLERS.map((product) => teaser(product, versionOf(product)));
}

/** @returns {{ name: string, href: string }[]} the links in the head of every page */
export function navigation() {
  return Array.from({ length: CATEGORIES }, (_, index) => ({
    name: categoryName(index + 1),
    href: categoryPath(index + 1),
  }));
}

/**
 * @param {number} id
 * @returns {boolean} whether there is such a product
 */
export function isProduct(id) {
  return Number.isInteger(id) && id >= 1 && id <= PRODUCTS;
}

/**
 * @param {number} id
 * @returns {boolean} whether there is such a category
 */
export function isCategory(id) {
  return Number.isInteger(id) && id >= 1 && id <= CATEGORIES;
}

/** @param {number} id */
function categoryName(id) {
  const random = seededRandom(id * 6151);
  return `${pick(MATERIALS, random)} & ${pick(MATERIALS, random)}`;
}

/**
 * @param {import('./random.mjs').Random} random
 * @param {number} sentences
 */
function paragraph(random, sentences) {
  return Array.from({ length: sentences }, () => {
    const opener = pick(OPENERS, random).replace("{n}", String(2 + Math.floor(random() * 9)));
    return `${opener} ${pick(MIDDLES, random)}. ${pick(CLOSERS, random)}`;
  }).join(" ");
}
