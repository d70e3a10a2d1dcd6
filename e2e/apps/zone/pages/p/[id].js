import { propsOf } from "../../lib/props";

export { default } from "../../lib/component";

export const getStaticPaths = () => ({ paths: [], fallback: "blocking" });

export const getStaticProps = ({ params: { id }, locale }) => propsOf(`/zone/${locale}/${id}`, id);
