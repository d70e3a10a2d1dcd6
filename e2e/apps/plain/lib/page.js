import { notFound, redirect } from "next/navigation";
import { filler, marker, wanted } from "./content";
import { beginRender, fetchData } from "./origin";

/** A page of the App Router: a render that the origin knows of, and data from the fetch cache. */
export async function renderPage(path, id) {
  const { kb, missing, moved, broken } = wanted(id);
  const { render, version } = await beginRender(path);
  if (broken) throw new Error("this page cannot be rendered");
  if (missing) notFound();
  if (moved) redirect("/a/target");
  const { version: fetched } = await fetchData(id);
  return (
    <main>
      <h1>{marker({ render, version, fetched })}</h1>
      <pre>{filler(kb, render)}</pre>
    </main>
  );
}
