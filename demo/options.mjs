// The command line.
import { parseArgs } from "node:util";
import { DemoError } from "./processes.mjs";

export const HELP = `Usage: node demo/run.mjs [options]

Builds a shop with Next.js once, runs it as replicas behind a load balancer, first on Next.js's own cache and then on isrd,
sends both the same traffic with a restart and a content change in the middle, and prints what came of it.

  --requests N   how many requests each leg gets (default 4000; with --quick 1000)
  --rate N       requests per second, on average (default 40)
  --replicas N   how many replicas, at least 2 (default 4)
  --seed N       decides pages, popularity and times of the traffic (default 1)
  --quick        fewer requests
  --only LEG     only one leg: disk or isrd
  --keep         keep the logs and the counts of renders
  --help         this text
`;

/**
 * @typedef {object} Options
 * @property {number} requests
 * @property {number} rate
 * @property {number} replicas
 * @property {number} seed
 * @property {readonly ('disk' | 'isrd')[]} legs
 * @property {boolean} keep
 */

/**
 * @param {string[]} args without the program's name
 * @returns {Options | 'help'}
 * @throws {DemoError} that names the first argument that is no good
 */
export function parseOptions(args) {
  const values = parse(args);
  if (values.help) return "help";
  const { only } = values;
  if (only !== undefined && only !== "disk" && only !== "isrd")
    throw new DemoError(`--only ${only}: there are the legs disk and isrd`);
  return {
    requests: wholeNumber("requests", values.requests ?? (values.quick ? "1000" : "4000"), 100),
    rate: wholeNumber("rate", values.rate ?? "40", 1),
    replicas: wholeNumber("replicas", values.replicas ?? "4", 2),
    seed: wholeNumber("seed", values.seed ?? "1", 0),
    legs: only ? [only] : ["disk", "isrd"],
    keep: values.keep ?? false,
  };
}

/** @param {string[]} args */
function parse(args) {
  try {
    return parseArgs({
      args,
      options: {
        requests: { type: "string" },
        rate: { type: "string" },
        replicas: { type: "string" },
        seed: { type: "string" },
        quick: { type: "boolean" },
        only: { type: "string" },
        keep: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new DemoError(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} least
 */
function wholeNumber(name, text, least) {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
    throw new DemoError(`--${name} ${text}: expected a whole number, at least ${least}`);
  }
  return value;
}
