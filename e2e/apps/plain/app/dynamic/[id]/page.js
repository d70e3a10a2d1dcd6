import { renderPage } from "../../../lib/page";

export const revalidate = 0;

export default async function Page({ params }) {
  const { id } = await params;
  return renderPage(`/dynamic/${id}`, id);
}
