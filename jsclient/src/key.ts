import { createHash } from "node:crypto";
import { type Build, Space } from "./gen/isrd/v1/entry_pb.js";

/** A key without the parts that the session's greeting gives. */
export interface EntryKey {
  readonly space: Space;
  readonly name: string;
}

/** Tells keys of one process apart. */
export function idOf({ space, name }: EntryKey): string {
  return `${space}:${name}`;
}

/**
 * Makes the function that gives the hash by which events name a key of this app and build: 32 hex digits, the first 128
 * bits of a SHA-256 over the space and three names, each with its length in front.
 */
export function keyHasher(app: string, build: Pick<Build, "buildId" | "deploymentId">): (key: EntryKey) => string {
  const scope = build.deploymentId
    ? `${Buffer.byteLength(build.buildId)}:${build.buildId}:${build.deploymentId}`
    : build.buildId;
  return ({ space, name }) => {
    const hash = createHash("sha256").update(Buffer.of(space));
    for (const text of [app, space === Space.ROUTE ? scope : "", name]) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(text));
      hash.update(length).update(text);
    }
    return hash.digest("hex").slice(0, 32);
  };
}
