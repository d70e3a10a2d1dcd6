// One leg: a fleet on one cache, the traffic, and what happens in the middle of it.
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Balancer } from "./balancer.mjs";
import { applyChange } from "./change.mjs";
import { startDaemon } from "./daemon.mjs";
import { Fleet } from "./fleet.mjs";
import { DemoError } from "./processes.mjs";
import { runTraffic } from "./traffic.mjs";

/** Which replica is restarted, and which one's webhook is called. */
const RESTARTED = 1;
const NOTIFIED = 0;

const REPORT_EVERY_MS = 5_000;

/**
 * @typedef {object} LegOptions
 * @property {'disk' | 'isrd'} cache Next.js's own, or isrd with one daemon and its embedded store
 * @property {string} dir a new folder of the leg's own, below the repository
 * @property {string} daemonBinary
 * @property {import('./origin.mjs').Origin} origin is reset first
 * @property {number} replicas
 * @property {readonly import('./traffic.mjs').Visit[]} plan
 * @property {import('./change.mjs').Change} change
 * @property {{ restart: number, change: number }} events before which request of the plan each begins
 * @property {(line: string) => void} report
 * @property {AbortSignal} signal
 */

/**
 * Runs a leg from the first process to the last.
 *
 * @param {LegOptions} options
 * @returns {Promise<{ observations: import('./figures.mjs').Observations, balancer: Balancer['figures'], restartMs: number, daemon?: Record<string, number> }>}
 *   once everything has been stopped
 */
export async function runLeg(options) {
  const { cache, dir, origin, signal, report } = options;
  await mkdir(dir, { recursive: true });
  origin.reset();
  const secret = randomBytes(16).toString("hex");
  const logFile = path.join(dir, "daemon.log");
  const daemon = cache === "isrd" ? await startDaemon({ binary: options.daemonBinary, logFile, signal }) : undefined;
  const isrd = daemon ? { SHOP_CACHE: "isrd", ISRD_ADDRESS: daemon.address, ISRD_APP: "shop" } : {};
  const env = { SHOP_ORIGIN: origin.url, SHOP_WEBHOOK_SECRET: secret, ...isrd };
  const fleet = new Fleet({ dir, env, signal });
  const balancer = new Balancer();
  await balancer.listen();
  const killAll = () => {
    fleet.kill();
    daemon?.child.kill("SIGKILL");
  };
  signal.addEventListener("abort", killAll);
  try {
    const imageAt = Date.now();
    await fleet.makeImage();
    const replicas = await fleet.startAll(options.replicas);
    for (const replica of replicas) balancer.add(replica);
    report(`${replicas.length} replicas are ready`);
    const traffic = await visitorsAndEvents(options, { fleet, daemon, balancer, secret });
    const metrics = await daemon?.metrics();
    if (daemon && metrics && gets(metrics) === 0) throw daemon.child.failure("was not asked once by the replicas");
    // Renders in the background are finished before a replica ends; what is counted after that is all there is.
    await fleet.stopAll();
    const observations = {
      ...traffic,
      imageAt,
      restarted: RESTARTED,
      renders: await fleet.renders(),
      originCalls: origin.calls,
    };
    return {
      observations,
      balancer: balancer.figures,
      restartMs: traffic.restartMs,
      ...(metrics ? { daemon: metrics } : {}),
    };
  } finally {
    await balancer.close();
    await fleet.stopAll();
    await daemon?.stop();
    signal.removeEventListener("abort", killAll);
  }
}

/**
 * @param {Record<string, number>} metrics of the daemon
 * @returns {number} how often it was asked for an entry
 */
function gets(metrics) {
  const counts = Object.entries(metrics).filter(([name]) => name.startsWith("isrd_cache_gets_total"));
  return counts.reduce((sum, [, count]) => sum + count, 0);
}

/**
 * @param {LegOptions} options
 * @param {{ fleet: Fleet, daemon: import('./daemon.mjs').Daemon | undefined, balancer: Balancer, secret: string }} parts
 */
async function visitorsAndEvents(options, { fleet, daemon, balancer, secret }) {
  const { plan, events, origin, change, report, signal } = options;
  const failed = new AbortController(); // an event that fails ends the traffic
  signal.addEventListener("abort", () => failed.abort(signal.reason), { once: true, signal: failed.signal });
  const either = failed.signal;
  /** @type {Promise<number> | undefined} */
  let restarting;
  /** @type {Promise<import('./change.mjs').AppliedChange> | undefined} */
  let changing;
  const progress = new Progress(plan.length, report, () => {
    const crashed = [...fleet.children(), ...(daemon ? [daemon.child] : [])].find(({ ended }) => ended);
    if (crashed) failed.abort(crashed.failure(crashed.ended ?? "ended"));
  });
  /**
   * @template T
   * @param {Promise<T>} event
   * @returns {Promise<T>}
   */
  const watched = (event) => {
    event.catch((error) => failed.abort(error));
    return event;
  };
  const restart = async () => {
    const begun = performance.now();
    report(`restarting replica ${RESTARTED}, in a fresh copy of the build`);
    await balancer.drain(RESTARTED);
    await fleet.stop(RESTARTED);
    balancer.add(await fleet.start(RESTARTED));
    const restartMs = performance.now() - begun;
    report(`replica ${RESTARTED} is back after ${(restartMs / 1000).toFixed(1)} s`);
    return restartMs;
  };
  const changeContent = async () => {
    report(`changing ${change.products.length} products and calling the webhook of replica ${NOTIFIED}`);
    const applied = await applyChange(change, { origin, port: fleet.portOf(NOTIFIED), secret, signal: either });
    report("the webhook has returned");
    return applied;
  };
  try {
    const samples = await runTraffic(plan, {
      port: balancer.port,
      onDue: (index) => {
        if (index === events.restart) restarting = watched(restart());
        if (index === events.change) changing = watched(changeContent());
        progress.sent(index + 1);
      },
      onAnswer: (sample) => progress.answered(sample),
      signal: either,
    });
    const [restartMs, applied] = await Promise.all([restarting, changing]);
    if (restartMs === undefined || !applied) throw new DemoError("the plan has no restart or no change");
    return { samples, restartMs, change: applied };
  } catch (error) {
    throw failed.signal.aborted ? failed.signal.reason : error; // not the AbortError that it became on its way
  } finally {
    progress.end();
    await Promise.allSettled([restarting, changing]);
  }
}

/** Reports how far the traffic is, every 5 seconds. */
class Progress {
  #total;
  #report;
  #timer;
  #sent = 0;
  #answered = 0;
  #failures = 0;
  #before = { at: performance.now(), answered: 0 };

  /**
   * @param {number} total
   * @param {(line: string) => void} report
   * @param {() => void} check called at every report
   */
  constructor(total, report, check) {
    this.#total = total;
    this.#report = report;
    this.#timer = setInterval(() => {
      this.#print();
      check();
    }, REPORT_EVERY_MS);
  }

  /** @param {number} count of requests made so far */
  sent(count) {
    this.#sent = count;
  }

  /** @param {import('./traffic.mjs').Sample} sample */
  answered({ status }) {
    this.#answered++;
    if (status !== 200) this.#failures++;
  }

  /** Prints the last line. */
  end() {
    clearInterval(this.#timer);
    this.#print();
  }

  #print() {
    const now = performance.now();
    const rate = (this.#answered - this.#before.answered) / ((now - this.#before.at) / 1000);
    this.#before = { at: now, answered: this.#answered };
    const share = `${Math.floor((this.#sent / this.#total) * 100)} %`.padStart(5);
    this.#report(`${share}  ${this.#answered} answers, ${rate.toFixed(0)} per second, ${this.#failures} failed`);
  }
}
