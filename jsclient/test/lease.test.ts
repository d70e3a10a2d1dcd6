import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Position, PositionSchema, Space } from "../src/gen/isrd/v1/entry_pb.js";
import { WelcomeSchema } from "../src/gen/isrd/v1/session_pb.js";
import { type Lease, Leases } from "../src/lease.js";
import { Resume } from "../src/resume.js";

const key = (name: string) => ({ space: Space.ROUTE, name });
const at: Position = create(PositionSchema, { epoch: 7n, seq: 3n, nonce: "n3" });

/** A process whose session "one" has broken. */
function broken() {
  const leases = new Leases();
  const resume = new Resume(leases);
  resume.welcomed({ sessionId: "one", leases: [] }, resume.offer(at));
  const grant = (name: string, token: bigint) => leases.grant(key(name), token) as Lease;
  const welcome = (...granted: [name: string, leaseToken: bigint, grantedToken: bigint][]) =>
    create(WelcomeSchema, {
      sessionId: "two",
      leases: granted.map(([name, leaseToken, grantedToken]) => ({ key: key(name), leaseToken, grantedToken })),
    });
  return { leases, resume, grant, welcome };
}

test("leases are claimed until they are ended; none is granted without a token", () => {
  const leases = new Leases();
  assert.equal(leases.grant(key("/none"), 0n), undefined);
  const [a, b] = [leases.grant(key("/a"), 1n), leases.grant(key("/b"), 2n)] as Lease[];
  assert.deepEqual(leases.claims(), [a, b]);
  a?.end();
  assert.deepEqual([a?.open, b?.open, leases.claims()], [false, true, [b]]);
  if (b) b.token = 0n;
  assert.deepEqual(leases.claims(), [], "a lost one is not claimed");
});

test("leases are forgotten after the longest life that they can have, and when there are too many", () => {
  let now = 0;
  const leases = new Leases(() => now);
  const old = leases.grant(key("/old"), 1n);
  now = 120_001;
  assert.deepEqual(leases.claims(), []);
  assert.equal(old?.open, false);
  for (let i = 0; i < 10_001; i++) leases.grant(key(`/${i}`), BigInt(i + 1));
  assert.deepEqual([leases.claims().length, leases.claims()[0]?.key.name], [10_000, "/1"]);
});

test("the first hello offers nothing, also where no position is known", () => {
  const resume = new Resume(new Leases());
  assert.deepEqual(resume.offer(at), { claimed: [] });
  resume.welcomed({ sessionId: "one", leases: [] }, resume.offer(at));
  assert.deepEqual(resume.offer(undefined), { claimed: [] });
});

test("a hello names the last session, the position, and the leases that are held now", () => {
  const { resume, grant } = broken();
  const lease = grant("/a", 11n);
  const offer = resume.offer(at);
  assert.deepEqual(offer.resume, {
    sessionId: "one",
    position: at,
    leases: [{ key: key("/a"), leaseToken: 11n }],
  });
  lease.end();
  assert.deepEqual(resume.offer(at).resume?.leases, [], "each hello anew");
});

test("a claimed lease gets its new token; one that the welcome does not list is lost", () => {
  const { resume, grant, welcome } = broken();
  const [kept, lost] = [grant("/kept", 11n), grant("/lost", 12n)];
  const offer = resume.offer(at);
  const meanwhile = grant("/meanwhile", 13n);
  assert.deepEqual(resume.welcomed(welcome(["/kept", 11n, 21n], ["/lost", 99n, 22n]), offer), []);
  assert.deepEqual([kept.token, lost.token, meanwhile.token], [21n, 0n, 13n]);
  assert.equal(resume.offer(at).resume?.sessionId, "two");
});

test("a lease that ended while it was claimed is given back with its new token", () => {
  const { resume, grant, welcome } = broken();
  const lease = grant("/a", 11n);
  const offer = resume.offer(at);
  lease.end();
  assert.deepEqual(resume.welcomed(welcome(["/a", 11n, 21n]), offer), [{ key: key("/a"), leaseToken: 21n }]);
});

test("an attempt that was never welcomed changes nothing", () => {
  const { resume, grant, welcome } = broken();
  const lease = grant("/a", 11n);
  resume.offer(at);
  resume.welcomed(welcome(["/a", 11n, 21n]), resume.offer(at));
  assert.equal(lease.token, 21n);
});
