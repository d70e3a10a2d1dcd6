import { propsOf } from "../../lib/props";

export { default } from "../../lib/component";

/** What the build renders is all there is. */
export const getStaticPaths = () => ({
  paths: ["1k-one", "1k-two", "1k-three"].map((id) => ({ params: { id } })),
  fallback: false,
});

export const getStaticProps = ({ params: { id } }) => propsOf(`/p-closed/${id}`, id);
