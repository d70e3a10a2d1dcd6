import { renderPage } from "../../../lib/page";

export const revalidate = 3600;

/** What the build renders is all there is. */
export const dynamicParams = false;

export const generateStaticParams = () => ["1k-one", "1k-two", "1k-three"].map((id) => ({ id }));

export default async function Page({ params }) {
  const { id } = await params;
  return renderPage(`/closed/${id}`, id);
}
