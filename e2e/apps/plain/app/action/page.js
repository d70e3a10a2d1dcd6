import * as cache from "next/cache";

const update = cache["updateTag"] ?? cache.revalidateTag;

// biome-ignore lint/suspicious/useAwait: Next.js wants server functions to be async.
async function submit(form) {
  "use server";
  update(form.get("tag"));
}

/** A form that works without JavaScript, so that a test can send it. */
export default function Page() {
  return (
    <form action={submit}>
      <input name="tag" />
      <button type="submit">update</button>
    </form>
  );
}
