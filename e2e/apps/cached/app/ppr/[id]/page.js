import { connection } from "next/server";
import { Suspense } from "react";
import { hour, short } from "../../../lib/cached";
import { marker } from "../../../lib/marker";

export const generateStaticParams = () => [{ id: "built" }];

async function Now({ id }) {
  await connection();
  return <h2>{(await short(id)).version}</h2>;
}

/** A shell with a cached part, which is kept as a page is, and a part for every request, which reads the cache itself. */
export default async function Page({ params }) {
  const { id } = await params;
  return (
    <main>
      <h1>{marker(await hour(id))}</h1>
      <Suspense fallback={<h2>later</h2>}>
        <Now id={id} />
      </Suspense>
    </main>
  );
}
