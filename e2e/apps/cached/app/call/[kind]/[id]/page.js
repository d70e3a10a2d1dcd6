import { connection } from "next/server";
import { broken, hour, outer, remote, short } from "../../../../lib/cached";
import { marker } from "../../../../lib/marker";
import { beginRender } from "../../../../lib/origin";

/** A function, and after a while another that calls it too. */
async function both(id) {
  await hour(id);
  await beginRender(`/both/${id}`);
  return await outer(id);
}

const FUNCTIONS = { hour, short, remote, outer, both };

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
