import { Suspense } from "react";
import { brief, hour } from "../../../lib/cached";
import { marker } from "../../../lib/marker";

export const generateStaticParams = () => [{ id: "built" }];

async function Brief({ id }) {
  return <h2>{(await brief(id)).version}</h2>;
}

/** A shell in which a result that does not live long enough leaves a hole, to be filled for every request. */
export default async function Page({ params }) {
  const { id } = await params;
  return (
    <main>
      <h1>{marker(await hour(id))}</h1>
      <Suspense fallback={<h2>later</h2>}>
        <Brief id={id} />
      </Suspense>
    </main>
  );
}
