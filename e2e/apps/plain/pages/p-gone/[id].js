import { propsOf } from "../../lib/props";

export { default } from "../../lib/component";

/** Asked for by the build, which finds that there is no such page: its `notFoundRoutes` has the path. Later there is one. */
export const getStaticPaths = () => ({ paths: [{ params: { id: "1k-gone" } }], fallback: "blocking" });

export function getStaticProps({ params: { id } }) {
  if (process.env.NEXT_PHASE === "phase-production-build") return { notFound: true, revalidate: 3600 };
  return propsOf(`/p-gone/${id}`, id);
}
