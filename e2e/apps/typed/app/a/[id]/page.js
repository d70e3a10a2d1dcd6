import { renderPage } from "../../../lib/page";

export const revalidate = 3600;

export const generateStaticParams = () => [];

export default async function Page({ params }) {
  const { id } = await params;
  return renderPage(`/a/${id}`, id);
}
