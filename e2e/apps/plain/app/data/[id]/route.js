import { unstable_cache } from "next/cache";
import { beginRender, fetchData } from "../../../lib/origin";

/** Not cached itself: shows what the data caches hold. */
export async function GET(_request, { params }) {
  const { id } = await params;
  const cached = unstable_cache(() => beginRender(`/cached/${id}`), ["cached", id], {
    tags: [`cached:${id}`],
    revalidate: 3600,
  });
  return Response.json({ fetched: await fetchData(id), cached: await cached() });
}
