import * as cache from "next/cache";
import { connection } from "next/server";
import { hour } from "../../lib/cached";
import { marker } from "../../lib/marker";

// Since 16; before it, revalidateTag does the same.
const update = cache["updateTag"] ?? cache.revalidateTag;

// biome-ignore lint/suspicious/useAwait: Next.js wants server functions to be async.
async function submit(form) {
  "use server";
  update(form.get("tag"));
}

/** A form that works without JavaScript, so that a test can send it; it shows what it has changed. */
export default async function Page({ searchParams }) {
  await connection();
  const { id } = await searchParams;
  return (
    <form action={submit}>
      <input name="tag" />
      <button type="submit">update</button>
      <h1>{id ? marker(await hour(id)) : ""}</h1>
    </form>
  );
}
