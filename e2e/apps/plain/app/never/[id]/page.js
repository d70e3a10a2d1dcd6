import { renderPage } from "../../../lib/page";

export const revalidate = false;

/** Without it a page that fetches nothing anew would not be static in every version. */
export const dynamic = "force-static";

export const generateStaticParams = () => [];

export default async function Page({ params }) {
  const { id } = await params;
  return renderPage(`/never/${id}`, id);
}
