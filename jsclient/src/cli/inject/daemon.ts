import path from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { addressesFrom } from "../../address.js";
import { IsrdError } from "../../errors.js";
import {
  AdminService,
  type ListedKey,
  ListKeysRequestSchema,
  ListKeysResponseSchema,
} from "../../gen/isrd/v1/admin_pb.js";
import { Kind, Space } from "../../gen/isrd/v1/entry_pb.js";
import { streamGrpc } from "../../grpc-transport.js";
import { createLog } from "../../log.js";
import { findServedBuild, nextLoader } from "../../next/build.js";
import { Failure } from "../failure.js";
import type { Io } from "../io.js";
import type { Lifetime } from "./lifetimes.js";
import type { BuildOutput } from "./manifests.js";
import type { Bounds, Candidate, Source } from "./sources.js";

const LIST_KEYS = `/${AdminService.typeName}/${AdminService.method.listKeys.name}`;

/**
 * The pages that a daemon has of this app, of every build: those of this one are not there yet when it is built. With
 * their lifetimes.
 */
export async function* daemonSource({ folder }: BuildOutput, io: Io, { timeoutMs }: Bounds): Source {
  const log = createLog("info", { info: io.err, warn: io.err });
  const serverDistDir = path.join(folder, "server");
  const { app } = findServedBuild(serverDistDir, io.env, log, nextLoader(serverDistDir));
  const request = create(ListKeysRequestSchema, { app, space: Space.ROUTE });
  try {
    const [address] = addressesFrom(io.env);
    if (!address) return;
    const abort = new AbortController();
    const giveUp = setTimeout(() => abort.abort(), timeoutMs);
    const options = { token: io.env["ISRD_TOKEN"]?.trim() || undefined, signal: abort.signal };
    const frames = streamGrpc(address, options, LIST_KEYS, Buffer.from(toBinary(ListKeysRequestSchema, request)));
    try {
      for await (const frame of frames) {
        giveUp.refresh();
        const { keys, truncated } = fromBinary(ListKeysResponseSchema, frame);
        yield* keys.flatMap(candidatesOf);
        if (truncated) log.warn(`the daemon has more pages of "${app}" than it lists`);
      }
    } finally {
      clearTimeout(giveUp);
    }
  } catch (error) {
    if (!(error instanceof IsrdError)) throw error;
    throw new Failure(`--from-daemon: ${error.message} (ISRD_ADDRESS, ISRD_APP and ISRD_TOKEN say where and what)`);
  }
}

/** What was not found when it was rendered is no page that anybody needs to know. */
function candidatesOf({ name, kind, status, lifetime }: ListedKey): Candidate[] {
  if (kind === Kind.NOT_FOUND || (status ?? 200) >= 400) return [];
  const known: Lifetime = {
    revalidate: lifetime?.revalidateSeconds ?? false,
    ...(lifetime?.expireSeconds === undefined ? {} : { expire: lifetime.expireSeconds }),
  };
  return known.revalidate === 0 ? [] : [{ text: pathOf(name), isKey: true, lifetime: known }];
}

/** Since 15.5.27 and 16.3.8 a key is scoped by its route. `/index` is where `/` is kept. */
function pathOf(key: string): string {
  const page = /^\/route-cache\/[A-Z_]+\/[0-9a-f]{64}\/\$(\/.*)$/s.exec(key)?.[1] ?? key;
  return page.replace(/^\/index(?=\/|$)/, "") || "/";
}
