import { connection } from "next/server";
import { broken, hour, late, outer, remote, short } from "../../../../lib/cached";
import { marker } from "../../../../lib/marker";
import { beginRender } from "../../../../lib/origin";

/** A function, and after a while another that calls it too. */
async function both(id) {
  await hour(id);
  await beginRender(`/both/${id}`);
  return await outer(id);
}

/** A function that calls another, and that other while it does. */
async function during(id) {
  const result = await late(id);
  await beginRender(`/during/${id}`);
  await hour(id);
  return result;
}

const FUNCTIONS = { hour, short, remote, outer, both, during };

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
