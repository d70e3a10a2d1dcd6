import Page, { getStaticProps as propsOf } from "../p/[id]";

/** A page with `fallback: true`: who asks for one that was never rendered gets a shell. */
export const getStaticPaths = () => ({ paths: [], fallback: true });

export function getStaticProps(context) {
  return propsOf(context, "/f");
}

export default function WithShell(props) {
  return props.marker === undefined ? <main>loading</main> : Page(props);
}
