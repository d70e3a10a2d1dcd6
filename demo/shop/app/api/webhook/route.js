import { revalidatePath, revalidateTag } from "next/cache";

/**
 * What the backend calls when its content changes: `{ tags: string[], paths: string[] }`. The load balancer takes the
 * call to one replica, as it does with any other.
 */
export async function POST(request) {
  if (request.headers.get("authorization") !== `Bearer ${process.env.SHOP_WEBHOOK_SECRET}`) {
    return Response.json({ error: "the secret is wrong" }, { status: 401 });
  }
  const { tags = [], paths = [] } = await request.json();
  // expire: 0, as Next.js asks for webhooks: the old content may not be served any more, not even once.
  for (const tag of tags) revalidateTag(tag, { expire: 0 });
  for (const path of paths) revalidatePath(path);
  return Response.json({ tags, paths });
}
