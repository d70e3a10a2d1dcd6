import { connection } from "next/server";
import { broken, hour, outer, remote, short } from "../../../../lib/cached";
import { marker } from "../../../../lib/marker";

const FUNCTIONS = { hour, short, remote, outer };

async function readBroken(id) {
  try {
    const { tail } = await broken(id);
    return await tail;
  } catch {
    return undefined;
  }
}

/** Rendered for every request; what it calls is cached. */
export default async function Page({ params }) {
  await connection();
  const { kind, id } = await params;
  const result = kind === "broken" ? await readBroken(id) : await FUNCTIONS[kind](id);
  return <h1>{result ? marker(result) : "broken"}</h1>;
}
