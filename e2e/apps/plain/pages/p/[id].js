import { filler, marker, wanted } from "../../lib/content";
import { beginRender } from "../../lib/origin";

const REVALIDATE_SECONDS = 3600;

export const getStaticPaths = () => ({ paths: [], fallback: "blocking" });

export async function getStaticProps({ params: { id } }, folder = "/p") {
  const { kb, missing, moved } = wanted(id);
  const { render, version } = await beginRender(`${folder}/${id}`);
  if (missing) return { notFound: true, revalidate: REVALIDATE_SECONDS };
  if (moved) return { redirect: { destination: "/p/target", permanent: false }, revalidate: REVALIDATE_SECONDS };
  return { props: { kb, render, marker: marker({ render, version }) }, revalidate: REVALIDATE_SECONDS };
}

export default function Page(props) {
  return (
    <main>
      <h1>{props.marker}</h1>
      <pre>{filler(props.kb, props.render)}</pre>
    </main>
  );
}
