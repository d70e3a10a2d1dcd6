import { marker } from "../../../lib/content";
import { beginRender } from "../../../lib/origin";

export const revalidate = false;

export const generateStaticParams = () => [];

/** It fetches nothing: the lifetime of what a page fetches would be its own. */
export default async function Page({ params }) {
  const { id } = await params;
  return <h1>{marker(await beginRender(`/never/${id}`))}</h1>;
}
