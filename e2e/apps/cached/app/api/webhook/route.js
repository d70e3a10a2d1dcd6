import { revalidatePath, revalidateTag } from "next/cache";

/** What a backend calls when its content changes: `{ tags, paths, profile }`; without a profile the old is gone at once. */
export async function POST(request) {
  const { tags = [], paths = [], profile = { expire: 0 } } = await request.json();
  for (const tag of tags) revalidateTag(tag, profile);
  for (const path of paths) revalidatePath(path);
  return Response.json({ tags, paths, profile });
}
