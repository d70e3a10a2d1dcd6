/** How much is written: nothing, changes of state (the default), or everything. */
export type LogLevel = "silent" | "info" | "debug";

/** Writes lines for people. A request is never logged, only changes and surprises. */
export interface Log {
  /** A change for the better. */
  info(line: string): void;
  /** Something that somebody should look at. */
  warn(line: string): void;
  /** Only with ISRD_LOG=debug. */
  debug(line: string): void;
  /**
   * Like warn, but at most once a minute for one topic: for surprises that may happen on every request.
   * How many were left out is said with the next line of the topic.
   */
  warnSeldom(topic: string, line: string): void;
}

const SELDOM_MS = 60_000;
const MAX_TOPICS = 100;

/** Makes the log of a process. The output is the console's, so that it lands where Next.js writes. */
export function createLog(level: LogLevel, output: Pick<Console, "info" | "warn"> = console): Log {
  const topics = new Map<string, { at: number; hidden: number }>();
  const log: Log = {
    info: (line) => {
      if (level !== "silent") output.info(`isrd: ${line}`);
    },
    warn: (line) => {
      if (level !== "silent") output.warn(`isrd: ${line}`);
    },
    debug: (line) => {
      if (level === "debug") output.info(`isrd: ${line}`);
    },
    warnSeldom: (topic, line) => {
      const now = performance.now();
      const known = topics.get(topic);
      if (known && now - known.at < SELDOM_MS) {
        known.hidden += 1;
        return;
      }
      if (!known && topics.size >= MAX_TOPICS) topics.clear();
      topics.set(topic, { at: now, hidden: 0 });
      log.warn(known?.hidden ? `${line} (and ${known.hidden} more of this kind in the last minutes)` : line);
    },
  };
  return log;
}
