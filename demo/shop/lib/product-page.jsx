import { notFound } from "next/navigation";
import { Product } from "../components/product";
import { fromOrigin } from "./origin";
import { countRender } from "./renders";

/**
 * Renders the page of a product in the App Router, from two tagged answers of the backend.
 *
 * @param {string} path its path
 * @param {string} id the product's number, as it stands in the path
 * @param {number} revalidate how long the answers are fresh, in seconds
 */
export async function renderProduct(path, id, revalidate) {
  const renderedAt = countRender(path);
  const [product, reviews] = await Promise.all([
    fromOrigin(`/products/${id}`, { revalidate, tags: ["products", `product-${id}`] }),
    fromOrigin(`/products/${id}/reviews`, { revalidate, tags: [`reviews-${id}`] }),
  ]);
  if (!product) notFound();
  return <Product product={product} reviews={reviews} renderedAt={renderedAt} />;
}

/**
 * @param {string} shelf
 * @returns {Promise<{ id: string }[]>} the bestsellers on a shelf: `next build` prerenders them, all others wait for a visit
 */
export async function bestsellersOn(shelf) {
  const products = await fromOrigin("/bestsellers", { revalidate: 10, tags: ["bestsellers"] });
  return products.filter(({ href }) => href.startsWith(`/${shelf}/`)).map(({ id }) => ({ id: String(id) }));
}
