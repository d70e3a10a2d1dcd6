import type { Position, Version } from "./gen/isrd/v1/entry_pb.js";

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The order of positions: by epoch, then seq. */
export function comparePositions(a: Position, b: Position): number {
  return compare(a.epoch, b.epoch) || compare(a.seq, b.seq);
}

/** The order of versions: by epoch, then seq, then token. */
export function compareVersions(a: Version, b: Version): number {
  return compare(a.epoch, b.epoch) || compare(a.seq, b.seq) || compare(a.token, b.token);
}

/** The lower of two versions, either of which may be unknown. */
export function lowestVersion(a: Version | undefined, b: Version | undefined): Version | undefined {
  if (!a || !b) return a ?? b;
  return compareVersions(a, b) <= 0 ? a : b;
}
