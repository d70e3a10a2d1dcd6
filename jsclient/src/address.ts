import { existsSync } from "node:fs";
import { IsrdError } from "./errors.js";

/** Where a daemon listens. */
export type Address =
  | { readonly text: string; readonly path: string }
  | { readonly text: string; readonly host: string; readonly port: number };

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

function parseSocketPath(text: string): Address {
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
 * The address for an environment: ISRD_ADDRESS, else the socket in /run/isrd, or in $XDG_RUNTIME_DIR where there is no
 * /run/isrd. The daemon chooses by the same rule. Looks at the file system, so ask again before each attempt: the
 * directory may be mounted after the process started.
 *
 * Throws like {@link parseAddress}.
 */
export function addressFrom(env: NodeJS.ProcessEnv, exists: (path: string) => boolean = existsSync): Address {
  const given = env["ISRD_ADDRESS"]?.trim();
  if (given) return parseAddress(given);
  const runtimeDirectory = env["XDG_RUNTIME_DIR"];
  if (runtimeDirectory?.startsWith("/") && !exists(DEFAULT_DIRECTORY)) {
    return parseAddress(`unix://${runtimeDirectory.replace(/\/+$/, "")}/isrd.sock`);
  }
  return parseAddress(`unix://${DEFAULT_DIRECTORY}/isrd.sock`);
}
