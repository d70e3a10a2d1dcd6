import { hour } from "../../lib/cached";
import { marker } from "../../lib/marker";

/** A page without parameters: its shell is all of it. */
export default async function Page() {
  return <h1>{marker(await hour("still"))}</h1>;
}
