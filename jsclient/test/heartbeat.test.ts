import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Heartbeat } from "../src/heartbeat.js";

/** A heartbeat every 250 ms whose answers may take 200, on a clock that only the test moves. */
function beating(t: TestContext, intervalMs = 250) {
  t.mock.timers.enable({ apis: ["setInterval", "setImmediate"] });
  const peer = { now: 0, heardAt: 0, silences: 0, pings: 0, full: false };
  const heartbeat = new Heartbeat({
    intervalMs,
    timeoutMs: 200,
    ping: () => (peer.full ? undefined : BigInt((peer.pings += 1))),
    heardAt: () => peer.heardAt,
    silent: () => (peer.silences += 1),
    now: () => peer.now,
  });
  t.after(() => heartbeat.stop());
  const beats = (count: number, ms = intervalMs): void => {
    for (let i = 0; i < count; i++) {
      peer.now += ms;
      t.mock.timers.tick(intervalMs);
    }
  };
  return { peer, heartbeat, beats };
}

test("one ping at a time, and only its own answer tells when it was sent", (t) => {
  const { peer, heartbeat, beats } = beating(t);
  beats(2);
  assert.equal(peer.pings, 1);
  assert.equal(heartbeat.answered(7n), undefined, "the answer to another");
  beats(1);
  assert.equal(peer.pings, 1, "it is still open");
  assert.equal(heartbeat.answered(1n), 250);
  assert.equal(heartbeat.answered(1n), undefined, "once");
  beats(1);
  assert.equal(peer.pings, 2);
  assert.equal(heartbeat.answered(2n), 1000);
});

test("a ping that could not be sent is not waited for", (t) => {
  const { peer, heartbeat, beats } = beating(t);
  peer.full = true;
  beats(20);
  assert.equal(peer.silences, 0);
  peer.full = false;
  beats(1);
  assert.equal(heartbeat.answered(1n), 21 * 250);
});

test("a peer is silent when nothing came for a second and the time that an answer may take, not before", (t) => {
  const { peer, beats } = beating(t);
  beats(1);
  beats(4);
  assert.equal(peer.silences, 0, "1000 ms after the ping");
  beats(1);
  assert.equal(peer.silences, 1, "1250 ms after it");
});

test("a longer interval has a longer silence", (t) => {
  const { peer, beats } = beating(t, 1000);
  beats(1);
  beats(2);
  assert.equal(peer.silences, 0);
  beats(1);
  assert.equal(peer.silences, 1);
});

test("whoever says anything is not silent; nor is anybody after this thread was busy", (t) => {
  const { peer, beats } = beating(t);
  beats(5);
  peer.heardAt = peer.now;
  beats(4);
  assert.equal(peer.silences, 0);
  peer.now += 5000;
  beats(1);
  assert.equal(peer.silences, 0, "what came meanwhile has not been read");
  beats(1);
  assert.equal(peer.silences, 1);
});
