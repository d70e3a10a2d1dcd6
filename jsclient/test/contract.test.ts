import { dialGrpc } from "../src/grpc-transport.js";
import { contract } from "./support/contract.js";
import { FakeDaemon } from "./support/fake-daemon.js";
import { serveGrpc, socketDirectory } from "./support/grpc-daemon.js";
import { dialMemory } from "./support/memory-transport.js";
import { startRealDaemon } from "./support/real-daemon.js";

contract("in memory", () => Promise.resolve({ dial: dialMemory(new FakeDaemon()).dial, env: {}, stop: () => {} }));

contract("a fake daemon over gRPC on a Unix socket", async () => {
  const directory = socketDirectory();
  const served = await serveGrpc(new FakeDaemon(), `unix:${directory.path}/isrd.sock`);
  const stop = (): void => {
    served.stop();
    directory.remove();
  };
  return { dial: dialGrpc, env: { ISRD_ADDRESS: served.address }, stop };
});

contract("a fake daemon over gRPC on TCP", async () => {
  const served = await serveGrpc(new FakeDaemon(), "127.0.0.1:0");
  return { dial: dialGrpc, env: { ISRD_ADDRESS: `tcp://${served.address}` }, stop: served.stop };
});

contract("the real daemon", async () => {
  const daemon = await startRealDaemon();
  return { dial: dialGrpc, env: { ISRD_ADDRESS: daemon.address }, stop: daemon.stop };
});
