import { propsOf } from "../../lib/props";

export { default } from "../../lib/component";

export const getStaticPaths = () => ({ paths: [], fallback: true });

export const getStaticProps = ({ params: { id } }) => propsOf(`/p-true/${id}`, id);
