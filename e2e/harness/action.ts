import assert from "node:assert/strict";
import type { Reply } from "./http.ts";
import type { Replica } from "./replica.ts";

/** Sends the form of an app's page for actions, as a browser without JavaScript does: its action updates a tag. */
export async function submitAction(replica: Replica, tag: string, page = "/action"): Promise<Reply> {
  const form = await replica.request(page);
  const id = /name="(\$ACTION_ID_\w+)"/.exec(form.text)?.[1];
  assert.ok(id, "the form names its action");
  const boundary = "isrd-e2e-boundary";
  const field = (name: string, value: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const reply = await replica.request(page, {
    method: "POST",
    headers: { "content-type": `multipart/form-data; boundary=${boundary}`, origin: replica.url },
    body: `${field(id, "")}${field("tag", tag)}--${boundary}--\r\n`,
  });
  assert.equal(reply.status, 200, reply.text.slice(0, 500));
  return reply;
}
