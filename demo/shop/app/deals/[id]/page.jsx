import { bestsellersOn, renderProduct } from "../../../lib/product-page";

export const revalidate = 15;

export const generateStaticParams = () => bestsellersOn("deals");

export default async function Page({ params }) {
  const { id } = await params;
  return renderProduct(`/deals/${id}`, id, revalidate);
}
