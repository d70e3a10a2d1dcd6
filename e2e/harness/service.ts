import path from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import type { Daemon } from "./daemon.ts";
import { ROOT } from "./paths.ts";

const DEADLINE_MS = 20_000;

/** A message, as the contract says it: enums by name, 64-bit numbers as text. */
export type Message = Record<string, unknown>;
type Method = (request: Message, options: grpc.CallOptions, done: grpc.requestCallback<Message>) => void;

/** One service of a daemon: by the contract in `proto`, with no code of isrd. */
export class Service {
  readonly #client: grpc.Client;

  /** `file` is below `proto/isrd/v1`. */
  constructor(daemon: Daemon, file: string, name: string) {
    const contract = loader.loadSync(`isrd/v1/${file}`, {
      includeDirs: [path.join(ROOT, "proto")],
      defaults: true,
      enums: String,
      longs: String,
    });
    const service = contract[`isrd.v1.${name}`] as grpc.ServiceDefinition;
    const Client = grpc.makeClientConstructor(service, name);
    this.#client = new Client(daemon.address, grpc.credentials.createInsecure(), {
      // A daemon that was started again is to be found at once.
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 100,
    });
  }

  call(name: string, request: Message): Promise<Message> {
    const method = (this.#client as unknown as Record<string, Method>)[name] as Method;
    const options = { deadline: Date.now() + DEADLINE_MS };
    return new Promise((resolve, reject) => {
      method.call(this.#client, request, options, (error, reply) => (error ? reject(error) : resolve(reply ?? {})));
    });
  }

  close(): void {
    this.#client.close();
  }
}
