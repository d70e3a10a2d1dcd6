import { updateTag } from "next/cache";

// biome-ignore lint/suspicious/useAwait: Next.js wants server functions to be async.
async function update(form) {
  "use server";
  updateTag(form.get("tag"));
}

/** A form that works without JavaScript, so that a test can send it. */
export default function Page() {
  return (
    <form action={update}>
      <input name="tag" />
      <button type="submit">update</button>
    </form>
  );
}
