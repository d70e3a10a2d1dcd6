import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Following } from "../src/following.js";
import { type Position, PositionSchema } from "../src/gen/isrd/v1/entry_pb.js";
import { EventSchema, PongSchema, WelcomeSchema } from "../src/gen/isrd/v1/session_pb.js";
import { Vouching } from "../src/vouching.js";

const place = (seq: bigint, epoch = 7n): Position => create(PositionSchema, { epoch, seq, nonce: `n${seq}` });
const event = (seq: bigint) => create(EventSchema, { position: place(seq) });

function following() {
  const clock = { now: 5000 };
  const told: string[] = [];
  const memory = {
    apply: (events: readonly { position?: Position | undefined }[]) =>
      void told.push(`events ${events.map(({ position }) => position?.seq).join()}`),
    reached: (position: Position) => void told.push(`reached ${position.seq}`),
    reset: (position: Position | undefined) => void told.push(`reset ${position?.seq}`),
  };
  const log = new Following(memory, () => clock.now);
  const welcome = (seq: bigint, resumed = false, validityMs = 1000, sentAt = clock.now) =>
    log.welcomed(create(WelcomeSchema, { position: place(seq), resumed, validityMs }), sentAt);
  const pong = (seq: bigint, validityMs = 1000, sentAt = clock.now) =>
    log.pong(create(PongSchema, { position: place(seq), validityMs }), sentAt);
  return { clock, told, log, welcome, pong };
}

describe("how long memory is vouched for", () => {
  test("counted from when the question was sent, not from when it was answered", () => {
    const clock = { now: 0 };
    const vouching = new Vouching(() => clock.now);
    assert.equal(vouching.holds, false, "before anybody said so");
    clock.now = 900;
    vouching.renew(0, 1000);
    assert.equal(vouching.holds, true);
    clock.now = 999;
    assert.equal(vouching.holds, true);
    clock.now = 1000;
    assert.equal(vouching.holds, false);
    vouching.renew(0, 1000);
    assert.equal(vouching.holds, false, "an answer that took too long is worth nothing");
  });

  test("each answer takes the place of the one before; ended is ended", () => {
    const vouching = new Vouching(() => 0);
    vouching.renew(0, 1000);
    vouching.renew(0, 0);
    assert.equal(vouching.holds, false);
    vouching.renew(0, 1000);
    vouching.end();
    assert.equal(vouching.holds, false);
  });

  test("by the hello, and by each ping", () => {
    const { clock, log, welcome, pong } = following();
    assert.equal(log.vouched, false);
    welcome(10n, false, 300, 4800);
    assert.equal(log.vouched, true);
    clock.now += 100;
    assert.equal(log.vouched, false);
    pong(10n, 300, 4900);
    assert.equal(log.vouched, true);
    log.pause();
    assert.equal(log.vouched, false);
  });
});

describe("what happens to memory", () => {
  test("it is told of events before anybody can learn that they were applied", () => {
    const { told, log, welcome } = following();
    welcome(10n);
    log.events([event(11n), event(12n)]);
    assert.deepEqual(told, ["reset 10", "events 11,12"]);
    assert.equal(log.position?.seq, 12n);
  });

  test("a session that goes on keeps it, but uses it only when the missed events are applied", () => {
    const { told, log, welcome } = following();
    welcome(10n);
    told.length = 0;
    log.pause();
    welcome(12n, true);
    assert.equal(log.vouched, false);
    assert.equal(log.position?.seq, 10n, "what was missed has not been applied by the greeting");
    log.events([event(11n)]);
    assert.equal(log.vouched, false);
    log.events([event(12n)]);
    assert.equal(log.vouched, true);
    assert.deepEqual(told, ["events 11", "events 12"], "and nothing was forgotten");
  });

  test("a session that goes on with nothing missed uses it at once", () => {
    const { log, welcome } = following();
    welcome(10n);
    log.pause();
    welcome(10n, true);
    assert.equal(log.vouched, true);
  });

  test("a session that begins anew forgets it, and so does a reset", () => {
    const { told, log, welcome } = following();
    welcome(10n);
    welcome(12n);
    log.reset(place(20n));
    assert.deepEqual(told, ["reset 10", "reset 12", "reset 20"]);
    assert.equal(log.position?.seq, 20n);
    assert.equal(log.vouched, true);
  });

  test("a process that has applied nothing cannot go on, whatever the daemon says", () => {
    const { told, welcome } = following();
    welcome(10n, true);
    assert.deepEqual(told, ["reset 10"]);
  });

  test("a pong's position is told too: it may be of another history", () => {
    const { told, log, welcome, pong } = following();
    welcome(10n);
    pong(15n);
    assert.deepEqual(told, ["reset 10", "reached 15"]);
    assert.equal(log.position?.seq, 15n);
  });
});

describe("an answer that is ahead of the events", () => {
  test("keeps memory out of use until they are applied", () => {
    const { log, welcome, pong } = following();
    welcome(10n);
    log.answered(place(10n));
    assert.equal(log.vouched, true);
    log.answered(place(13n));
    log.answered(place(12n));
    assert.equal(log.vouched, false);
    log.events([event(11n), event(12n)]);
    assert.equal(log.vouched, false, "the furthest counts");
    pong(13n);
    assert.equal(log.vouched, true);
  });

  test("also over the next session, unless that follows another history; a reset ends it", () => {
    const { log, welcome } = following();
    welcome(10n);
    log.answered(place(13n));
    welcome(12n);
    assert.equal(log.vouched, false, "the new daemon is behind the old one");
    log.welcomed(create(WelcomeSchema, { position: place(2n, 8n), validityMs: 1000 }), 5000);
    assert.equal(log.vouched, true);
    log.answered(place(13n, 8n));
    log.reset(place(3n, 8n));
    assert.equal(log.vouched, true);
  });
});
