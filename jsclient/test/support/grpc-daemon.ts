import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { CacheService } from "../../src/gen/isrd/v1/cache_pb.js";
import { RevalidationService } from "../../src/gen/isrd/v1/revalidation_pb.js";
import type { FakeDaemon } from "./fake-daemon.js";

const asIs = (bytes: Buffer): Buffer => bytes;

/** A server that can be stopped. */
export interface Served {
  /** For ISRD_ADDRESS. */
  readonly address: string;
  stop(): void;
}

/** A new directory for a socket, removed by `remove`. */
export function socketDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "isrd-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Serves a fake daemon with a real gRPC server; `where` is a target of grpc-js, such as `unix:/tmp/x.sock`. */
export function serveGrpc(daemon: FakeDaemon, where: string, maxMessageBytes = 64 * 1024 * 1024): Promise<Served> {
  const server = new Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
  });
  const method = (name: string, stream: boolean) => ({
    path: `/${CacheService.typeName}/${name}`,
    requestStream: stream,
    responseStream: stream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  });
  const unary =
    (name: "get" | "set") =>
    (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
      callback(null, Buffer.from(daemon.callUnary(name, call.request)));
    };
  server.addService(
    { session: method("Session", true), get: method("Get", false), set: method("Set", false) },
    {
      session: (call: ServerDuplexStream<Buffer, Buffer>) => serveSession(daemon, call),
      get: unary("get"),
      set: unary("set"),
    },
  );
  const enqueue = `/${RevalidationService.typeName}/${RevalidationService.method.enqueue.name}` as const;
  server.addService(
    { enqueue: { ...method("Enqueue", false), path: enqueue } },
    {
      enqueue: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        callback(null, Buffer.from(daemon.callUnary(enqueue, call.request)));
      },
    },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync(where, ServerCredentials.createInsecure(), (error, port) => {
      if (error) return reject(error);
      const address = where.startsWith("unix:") ? where : `127.0.0.1:${port}`;
      resolve({ address, stop: () => server.forceShutdown() });
    });
  });
}

function serveSession(daemon: FakeDaemon, call: ServerDuplexStream<Buffer, Buffer>): void {
  const accepted = daemon.accept({
    send: (bytes) => call.write(bytes),
    end: (code, details) => call.emit("error", { code, details, message: details, name: "Error" }),
  });
  call.on("data", (bytes: Buffer) => accepted.receive(bytes));
  call.on("end", () => call.end());
  call.on("close", () => accepted.gone());
  call.on("cancelled", () => accepted.gone());
  call.on("error", () => accepted.gone());
}
