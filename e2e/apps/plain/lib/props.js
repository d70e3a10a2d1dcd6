import { marker, wanted } from "./content";
import { beginRender } from "./origin";

const REVALIDATE_SECONDS = 3600;

/** What getStaticProps of a page of the Pages Router returns: a render that the origin knows of. */
export async function propsOf(path, id, revalidate = REVALIDATE_SECONDS) {
  const { kb, missing, moved } = wanted(id);
  const { render, version } = await beginRender(path);
  if (missing) return { notFound: true, revalidate };
  if (moved) return { redirect: { destination: "/p/target", permanent: false }, revalidate };
  return { props: { kb, render, marker: marker({ render, version }) }, revalidate };
}
