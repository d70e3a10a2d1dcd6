import { price } from "../lib/price";

/** A listing: every product carries its number and version for the demo to read. */
export function Teasers({ products }) {
  return (
    <ul className="teasers">
      {products.map((product) => (
        <li key={product.id} data-product={product.id} data-version={product.version}>
          <a href={product.href}>{product.name}</a> <b>{price(product.cents)}</b>
        </li>
      ))}
    </ul>
  );
}
