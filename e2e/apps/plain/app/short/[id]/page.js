import { renderPage } from "../../../lib/page";

export const revalidate = 4;

export const generateStaticParams = () => [];

export default async function Page({ params }) {
  const { id } = await params;
  return renderPage(`/short/${id}`, id);
}
