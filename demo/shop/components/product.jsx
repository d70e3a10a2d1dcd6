import { price } from "../lib/price";

/** A product page: the product with its number and version, what is related to it, and what people say. */
export function Product({ product, reviews, renderedAt }) {
  const stars = reviews.reduce((sum, review) => sum + review.stars, 0) / reviews.length;
  return (
    <main data-rendered-at={renderedAt}>
      <article data-product={product.id} data-version={product.version}>
        <h1>{product.name}</h1>
        <p>
          <b>{price(product.cents)}</b> · {stars.toFixed(1)} of 5 from {reviews.length} reviews ·{" "}
          <a href={product.category.href}>More like this</a>
        </p>
        {product.description.map((paragraph, index) => (
          <p key={index}>{paragraph}</p>
        ))}
        <table>
          <tbody>
            {product.specification.map(([name, value]) => (
              <tr key={name}>
                <th>{name}</th>
                <td>{value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </article>
      <aside>
        <h2>Often bought together</h2>
        <ul>
          {product.related.map((related) => (
            <li key={related.href}>
              <a href={related.href}>{related.name}</a>
            </li>
          ))}
        </ul>
      </aside>
      <section>
        <h2>Reviews</h2>
        {reviews.map((review) => (
          <article key={review.id} className="review">
            <h3>
              {"★".repeat(review.stars)} {review.author}
            </h3>
            <time dateTime={review.date}>{review.date}</time>
            <p>{review.text}</p>
          </article>
        ))}
      </section>
    </main>
  );
}
