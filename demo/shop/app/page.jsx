import { Teasers } from "../components/teasers";
import { fromOrigin } from "../lib/origin";
import { countRender } from "../lib/renders";

export const revalidate = 10;

export default async function Home() {
  const renderedAt = countRender("/");
  const products = await fromOrigin("/bestsellers", { revalidate, tags: ["bestsellers"] });
  return (
    <main data-rendered-at={renderedAt}>
      <h1>What others buy</h1>
      <Teasers products={products} />
    </main>
  );
}
