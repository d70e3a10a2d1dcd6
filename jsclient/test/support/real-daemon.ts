import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client, credentials } from "@grpc/grpc-js";
import { socketDirectory } from "./grpc-daemon.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** A real daemon as a child process, on a socket of its own. */
export interface RealDaemon {
  readonly address: string;
  readonly process: ChildProcess;
  /** Ends it and waits until it has gone. */
  stop(): Promise<void>;
}

/**
 * The binary to test: ISRD_TEST_DAEMON, else bin/isrd. It is never skipped: a client that was not tried against the
 * daemon has not been tested.
 */
function findBinary(): string {
  const given = process.env["ISRD_TEST_DAEMON"];
  const path = given ?? join(ROOT, "bin", "isrd");
  const advice = given ? "ISRD_TEST_DAEMON names a file that is not there" : "run `make build` first";
  assert.ok(existsSync(path), `there is no daemon at ${path}: ${advice}`);
  return path;
}

/** Starts a daemon with its embedded store and waits until it says that it is ready. */
export async function startRealDaemon(options: { socket?: string; args?: string[] } = {}): Promise<RealDaemon> {
  const binary = findBinary();
  const directory = socketDirectory();
  const address = `unix://${options.socket ?? join(directory.path, "isrd.sock")}`;
  const args = ["serve", "--listen", address, ...(options.args ?? [])];
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env["PATH"] ?? "" } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    await exited;
    clearTimeout(timer);
    directory.remove();
  };
  try {
    await ready(address.replace("unix://", "unix:"), child, () => output);
    return { address, process: child, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Asks grpc.health.v1 until it serves. The messages are of two bytes, so no schema is needed. */
async function ready(target: string, child: ChildProcess, output: () => string): Promise<void> {
  const client = new Client(target, credentials.createInsecure(), { "grpc.initial_reconnect_backoff_ms": 20 });
  const asIs = (bytes: Buffer): Buffer => bytes;
  const serving = (): Promise<boolean> =>
    new Promise((resolve) => {
      const deadline = Date.now() + 1000;
      client.makeUnaryRequest(
        "/grpc.health.v1.Health/Check",
        asIs,
        asIs,
        Buffer.alloc(0),
        { deadline },
        (_error, answer) => resolve(answer?.[0] === 0x08 && answer[1] === 1),
      );
    });
  try {
    const giveUpAt = performance.now() + 10_000;
    while (!(await serving())) {
      assert.equal(child.exitCode, null, `the daemon exited with ${child.exitCode}:\n${output()}`);
      assert.ok(performance.now() < giveUpAt, `the daemon is not ready after 10 s:\n${output()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    client.close();
  }
}
