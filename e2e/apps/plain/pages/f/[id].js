import { propsOf } from "../../lib/props";

export { default } from "../../lib/component";

/** A page with `fallback: true`: who asks for one that was never rendered gets a shell. */
export const getStaticPaths = () => ({ paths: [], fallback: true });

export const getStaticProps = ({ params: { id } }) => propsOf(`/f/${id}`, id);
