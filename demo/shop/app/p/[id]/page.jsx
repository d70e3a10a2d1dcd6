import { bestsellersOn, renderProduct } from "../../../lib/product-page";

export const revalidate = 3600;

export const generateStaticParams = () => bestsellersOn("p");

export default async function Page({ params }) {
  const { id } = await params;
  return renderProduct(`/p/${id}`, id, revalidate);
}
