import { filler } from "./content";

/** A page of the Pages Router. While Next.js serves it as a fallback it has no props, and names no render. */
export default function Page({ kb, render, marker }) {
  if (!marker) return <p>fallback</p>;
  return (
    <main>
      <h1>{marker}</h1>
      <pre>{filler(kb, render)}</pre>
    </main>
  );
}
