import { Product } from "../../components/product";
import { fromOrigin } from "../../lib/origin";
import { countRender } from "../../lib/renders";

export default Product;

export async function getStaticPaths() {
  const products = await fromOrigin("/bestsellers");
  const paths = products.map(({ href }) => href).filter((href) => href.startsWith("/product/"));
  return { paths, fallback: "blocking" };
}

export async function getStaticProps({ params }) {
  const renderedAt = countRender(`/product/${params.id}`);
  const [navigation, product, reviews] = await Promise.all([
    fromOrigin("/navigation"),
    fromOrigin(`/products/${params.id}`),
    fromOrigin(`/products/${params.id}/reviews`),
  ]);
  if (!product) return { notFound: true, revalidate: 3600 };
  return { props: { navigation, product, reviews, renderedAt }, revalidate: 3600 };
}
