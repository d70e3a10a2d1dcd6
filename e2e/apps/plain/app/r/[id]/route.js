import { filler, marker, wanted } from "../../../lib/content";
import { beginRender, fetchData } from "../../../lib/origin";

export const revalidate = 3600;

export const generateStaticParams = () => [];

export async function GET(_request, { params }) {
  const { id } = await params;
  const { kb } = wanted(id);
  const { render, version } = await beginRender(`/r/${id}`);
  const { version: fetched } = await fetchData(id);
  const headers = new Headers({ "content-type": "text/plain; charset=utf-8", "x-render": String(render) });
  headers.append("set-cookie", "first=1; Path=/");
  headers.append("set-cookie", "second=2; Path=/");
  return new Response(`${marker({ render, version, fetched })}\n${filler(kb, render)}`, { status: 200, headers });
}
