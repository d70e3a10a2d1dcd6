import { existsSync } from "node:fs";
import { IsrdError } from "./errors.js";

/** Where a daemon listens. */
export type Address = SocketAddress | { readonly text: string; readonly host: string; readonly port: number };

interface SocketAddress {
  readonly text: string;
  readonly path: string;
}

const DEFAULT_DIRECTORY = "/run/isrd";

/** Linux refuses longer socket paths (sun_path is 108 bytes with its terminator). */
const MAX_SOCKET_PATH_BYTES = 107;

const EXPECTED = "expected unix:///path/to/isrd.sock, tcp://host:port or host:port";

/**
 * Reads an ISRD_ADDRESS: `unix:///path`, `unix:/path`, `tcp://host:port` or `host:port`; an IPv6 host in brackets.
 *
 * Throws an IsrdError with the code `address`, whose message says what to write instead.
 */
export function parseAddress(text: string): Address {
  if (text.startsWith("unix:")) return parseSocketPath(text);
  const authority = text.startsWith("tcp://") ? text.slice("tcp://".length) : text;
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(authority);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new IsrdError("address", `ISRD_ADDRESS is "${text}": ${EXPECTED}`);
  }
  return { text, host, port };
}

function parseSocketPath(text: string): SocketAddress {
  const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
  if (!/^\/[^/]/.test(path) || path.endsWith("/")) {
    throw new IsrdError("address", `ISRD_ADDRESS is "${text}": the path of a socket must be absolute; ${EXPECTED}`);
  }
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new IsrdError(
      "address",
      `ISRD_ADDRESS is "${text}": the path of a socket may have ${MAX_SOCKET_PATH_BYTES} bytes`,
    );
  }
  return { text, path };
}

/**
 * Where a daemon may be found, best first, at least one: at ISRD_ADDRESS; without it, at the sockets that exist in
 * /run/isrd and in $XDG_RUNTIME_DIR, for the daemon takes the latter where it may not write to the former; where no
 * socket exists, at the place where one is expected. Looks at the file system, so ask again before each attempt: the
 * daemon may start after this process did.
 *
 * Throws like {@link parseAddress}.
 */
export function addressesFrom(env: NodeJS.ProcessEnv, exists = existsSync as (path: string) => boolean): Address[] {
  const given = env["ISRD_ADDRESS"]?.trim();
  if (given) return [parseAddress(given)];
  const system = socketIn(DEFAULT_DIRECTORY);
  const runtimeDirectory = env["XDG_RUNTIME_DIR"];
  if (!runtimeDirectory?.startsWith("/")) return [system];
  const user = socketIn(runtimeDirectory.replace(/\/+$/, ""));
  const there = [system, user].filter(({ path }) => exists(path));
  if (there.length > 0) return there;
  return [exists(DEFAULT_DIRECTORY) ? system : user];
}

function socketIn(directory: string): SocketAddress {
  return parseSocketPath(`unix://${directory}/isrd.sock`);
}
