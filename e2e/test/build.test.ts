// `next build` with the handler needs no daemon: it neither asks for one nor says a word.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { build, copySources } from "../harness/build.ts";
import { Origin } from "../harness/origin.ts";
import { OUT } from "../harness/paths.ts";
import { makeFolder, removeFolder, temporaryFolder } from "../harness/reap.ts";

describe("next build without a daemon", () => {
  const folder = path.join(OUT, "replicas", `${process.pid}-build`);
  const sockets = temporaryFolder();
  const socket = path.join(sockets, "isrd.sock");
  let origin: Origin;
  let connections = 0;
  /** What a build would wait for if it asked: it takes connections and never answers. */
  const deaf = net.createServer(() => {
    connections += 1;
  });

  before(async () => {
    origin = await Origin.start();
    deaf.listen(socket);
    await once(deaf, "listening");
    await makeFolder(folder);
    await copySources("plain", folder);
  });
  after(async () => {
    deaf.close();
    await origin.stop();
    removeFolder(folder);
    removeFolder(sockets);
  });

  test("succeeds, asks nobody, and says nothing of isrd", async () => {
    const env = { ISRD_ADDRESS: `unix://${socket}`, ORIGIN_URL: origin.url };
    const output = await build({ folder, name: "build", env });
    const files = JSON.parse(await readFile(path.join(folder, ".next", "required-server-files.json"), "utf8"));
    assert.match(files.config.cacheHandler, /cache-handler\.js$/, "the handler was configured");
    assert.equal(origin.renders("/prerendered"), 1, "a page was rendered, and its fetch went by the handler");
    assert.equal(connections, 0, "nothing to wait for");
    const said = output.split("\n").filter((line) => /isrd|warn|error|cache.?handler/i.test(line));
    assert.deepEqual(
      said.filter((line) => !line.startsWith("# pid")),
      [],
    );
  });
});
