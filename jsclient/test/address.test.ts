import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { addressesFrom, parseAddress } from "../src/address.js";
import { dialFirst } from "../src/dialling.js";
import { IsrdError } from "../src/errors.js";
import type { Dial, Transport } from "../src/transport.js";

test("every form of an address", () => {
  const where = (text: string) => {
    const { text: kept, ...rest } = parseAddress(text);
    assert.equal(kept, text);
    return rest;
  };
  assert.deepEqual(where("unix:///run/isrd/isrd.sock"), { path: "/run/isrd/isrd.sock" });
  assert.deepEqual(where("unix:/run/isrd.sock"), { path: "/run/isrd.sock" });
  assert.deepEqual(where("tcp://127.0.0.1:7070"), { host: "127.0.0.1", port: 7070 });
  assert.deepEqual(where("isrd.cache.svc:7070"), { host: "isrd.cache.svc", port: 7070 });
  assert.deepEqual(where("[::1]:7070"), { host: "::1", port: 7070 });
  assert.deepEqual(where("tcp://[::1]:7070"), { host: "::1", port: 7070 });
});

const wrong = [
  "",
  "unix:",
  "unix://",
  "unix:///",
  "unix:relative",
  "unix://host/x",
  "localhost",
  "host:0",
  "host:70000",
  ":7070",
  "http://host:1",
  "host:1/x",
  "::1:70",
  "a b:1",
  `unix:/${"x".repeat(120)}`,
];

for (const text of wrong) {
  test(`"${text.slice(0, 20)}" is refused with what to write instead`, () => {
    assert.throws(() => parseAddress(text), { code: "address", message: /^ISRD_ADDRESS is ".*": .+/ });
  });
}

const SYSTEM = "unix:///run/isrd/isrd.sock";
const USER = "unix:///run/user/7/isrd.sock";

test("without ISRD_ADDRESS the sockets that are there, that of the system first", () => {
  const texts = (env: NodeJS.ProcessEnv, ...there: string[]) =>
    addressesFrom(env, (path) => there.includes(path)).map(({ text }) => text);
  const env = { XDG_RUNTIME_DIR: "/run/user/7/" };
  const [system, user] = ["/run/isrd/isrd.sock", "/run/user/7/isrd.sock"];
  assert.deepEqual(texts(env, "/run/isrd", system, user), [SYSTEM, USER]);
  assert.deepEqual(texts(env, "/run/isrd", system), [SYSTEM]);
  assert.deepEqual(texts(env, "/run/isrd", user), [USER], "a directory without a socket is no daemon");
  assert.deepEqual(texts({}, "/run/isrd", user), [SYSTEM]);
  assert.deepEqual(texts({ XDG_RUNTIME_DIR: "relative" }, "/run/isrd", "relative/isrd.sock"), [SYSTEM]);
});

test("where there is no socket, the place where one is expected", () => {
  const text = (env: NodeJS.ProcessEnv, there: boolean) =>
    addressesFrom(env, (path) => there && path === "/run/isrd").map((address) => address.text);
  assert.deepEqual(text({}, true), [SYSTEM]);
  assert.deepEqual(text({ XDG_RUNTIME_DIR: "/run/user/7/" }, true), [SYSTEM]);
  assert.deepEqual(text({ XDG_RUNTIME_DIR: "/run/user/7/" }, false), [USER]);
  assert.deepEqual(text({}, false), [SYSTEM]);
  assert.deepEqual(text({ XDG_RUNTIME_DIR: "relative" }, false), [SYSTEM]);
});

test("ISRD_ADDRESS is the only one where it is given", () => {
  const env = { ISRD_ADDRESS: " h:1 ", XDG_RUNTIME_DIR: "/x" };
  assert.deepEqual(
    addressesFrom(env, () => true).map(({ text }) => text),
    ["h:1"],
  );
});

test("of several addresses the first that can be reached is connected to", async () => {
  const tried: string[] = [];
  const transport = {} as Transport;
  const dial: Dial = (address) => {
    tried.push(address.text);
    const nobody = new IsrdError("unavailable", `nobody listens at ${address.text}`);
    return address.text === "c:1" ? Promise.resolve(transport) : Promise.reject(nobody);
  };
  const options = { dial, token: undefined, timeoutMs: 1000 };
  const addresses = ["a:1", "b:1", "c:1", "d:1"].map(parseAddress);
  assert.deepEqual(await dialFirst(addresses, options), { transport, address: addresses[2] });
  assert.deepEqual(tried, ["a:1", "b:1", "c:1"]);
  await assert.rejects(dialFirst(addresses.slice(0, 2), options), { message: "nobody listens at b:1" });
});

test("a connection that stands as soon as this thread looks is not late", async () => {
  const transport = {} as Transport;
  const dial: Dial = async (_address, { signal }) => {
    const given = new Promise<never>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(new IsrdError("unavailable", "given up")));
    });
    return await Promise.race([delay(20).then(() => delay(5, transport)), given]);
  };
  const dialled = dialFirst([parseAddress("a:1")], { dial, token: undefined, timeoutMs: 40 });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150); // as when a large page is rendered
  assert.equal((await dialled).transport, transport);
});

test("all attempts together take no longer than one may", async () => {
  let dials = 0;
  const dial: Dial = (_address, { signal }) => {
    dials += 1;
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(new IsrdError("unavailable", "given up")));
    });
  };
  const keepAlive = setTimeout(() => {}, 3000);
  await assert.rejects(dialFirst(["a:1", "b:1"].map(parseAddress), { dial, token: undefined, timeoutMs: 20 }), {
    message: "given up",
  });
  clearTimeout(keepAlive);
  assert.equal(dials, 1);
});
