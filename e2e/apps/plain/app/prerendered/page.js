import { renderPage } from "../../lib/page";

export const revalidate = 3600;

/** Rendered by `next build`, so that a build has something to ask its cache for. */
export default function Page() {
  return renderPage("/prerendered", "1k-prerendered");
}
