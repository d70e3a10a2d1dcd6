import assert from "node:assert/strict";
import { test } from "node:test";
import { addressFrom, parseAddress } from "../src/address.js";

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

test("without ISRD_ADDRESS the socket in /run/isrd, or in the runtime directory where there is none", () => {
  const with_ = () => true;
  const without = () => false;
  assert.equal(addressFrom({}, with_).text, "unix:///run/isrd/isrd.sock");
  assert.equal(addressFrom({ XDG_RUNTIME_DIR: "/run/user/7/" }, with_).text, "unix:///run/isrd/isrd.sock");
  assert.equal(addressFrom({ XDG_RUNTIME_DIR: "/run/user/7/" }, without).text, "unix:///run/user/7/isrd.sock");
  assert.equal(addressFrom({}, without).text, "unix:///run/isrd/isrd.sock");
  assert.equal(addressFrom({ XDG_RUNTIME_DIR: "relative" }, without).text, "unix:///run/isrd/isrd.sock");
  assert.equal(addressFrom({ ISRD_ADDRESS: " h:1 ", XDG_RUNTIME_DIR: "/x" }, without).text, "h:1");
});
