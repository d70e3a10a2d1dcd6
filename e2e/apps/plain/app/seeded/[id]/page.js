import { renderPage } from "../../../lib/page";

export const revalidate = 3600;

/** Rendered by the build, and others later. */
export const generateStaticParams = () => ["1k-one", "1k-two", "1k-three"].map((id) => ({ id }));

export default async function Page({ params }) {
  const { id } = await params;
  return renderPage(`/seeded/${id}`, id);
}
