import { create } from "@bufbuild/protobuf";
import { type Position, PositionSchema, type Version } from "./gen/isrd/v1/entry_pb.js";

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

type Place = Pick<Position, "epoch" | "seq">;

/** The order of positions, and of the places that versions name: by epoch, then seq. */
export function comparePositions(a: Place, b: Place): number {
  return compare(a.epoch, b.epoch) || compare(a.seq, b.seq);
}

/** The order of versions: by epoch, then seq, then token. */
export function compareVersions(a: Version, b: Version): number {
  return compare(a.epoch, b.epoch) || compare(a.seq, b.seq) || compare(a.token, b.token);
}

/** The place that a version names, as a position. */
export function placeOf({ epoch, seq }: Place): Position {
  return create(PositionSchema, { epoch, seq });
}

/** The lower of two versions. */
export function lowestVersion(a: Version, b: Version): Version {
  return compareVersions(a, b) <= 0 ? a : b;
}

/** A version or a position, moved back to a place if it is later. */
export function notAfter<T extends Place>(it: T, { epoch, seq }: Place): T {
  return comparePositions(it, { epoch, seq }) > 0 ? { ...it, epoch, seq } : it;
}

/** The lower of two positions. */
export function lowestPosition(a: Position, b: Position): Position {
  return comparePositions(a, b) <= 0 ? a : b;
}
