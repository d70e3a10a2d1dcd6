import { Teasers } from "../../components/teasers";
import { fromOrigin } from "../../lib/origin";
import { countRender } from "../../lib/renders";

export default function Category({ category, renderedAt }) {
  return (
    <main data-rendered-at={renderedAt}>
      <h1>{category.name}</h1>
      <Teasers products={category.products} />
    </main>
  );
}

export const getStaticPaths = () => ({ paths: [], fallback: "blocking" });

export async function getStaticProps({ params }) {
  const renderedAt = countRender(`/c/${params.id}`);
  const [navigation, category] = await Promise.all([fromOrigin("/navigation"), fromOrigin(`/categories/${params.id}`)]);
  if (!category) return { notFound: true, revalidate: 20 };
  return { props: { navigation, category, renderedAt }, revalidate: 20 };
}
