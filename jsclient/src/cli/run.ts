import { VERSION } from "../version.js";
import { Failure, misuse } from "./failure.js";
import type { Io } from "./io.js";

/** A command: what it does in a line, and where it is. Loaded when it is called, with all that it needs. */
interface Command {
  readonly summary: string;
  load(): Promise<{ run(args: readonly string[], io: Io): Promise<number> }>;
}

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  [
    "inject-routes",
    {
      summary: "give known URLs their lifetime in the manifest of a build",
      load: () => import("./inject/command.js"),
    },
  ],
]);

const DAEMON_COMMANDS: readonly string[] = ["serve", "health"];

const HELP = `isrd ${VERSION}: the npm package's commands, for builds

Usage: npx isrd <command> [options]

${[...COMMANDS].map(([name, { summary }]) => `  ${name.padEnd(16)}${summary}`).join("\n")}

  npx isrd <command> --help   the options of a command
  npx isrd --version          the version of the package

The daemon is another program with the same name, written in Go: \`isrd serve\` and \`isrd health\` are there and not here.`;

/** Runs a command line; returns what the process exits with. Nothing is thrown. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(args, io);
  } catch (error) {
    if (error instanceof Failure) {
      io.err(`isrd: ${error.message}`);
      return error.exitCode;
    }
    io.err(`isrd: ${error instanceof Error ? error.stack : String(error)}`);
    return 1;
  }
}

async function dispatch([name, ...rest]: readonly string[], io: Io): Promise<number> {
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    io.out(HELP);
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-v") {
    io.out(VERSION);
    return 0;
  }
  const command = COMMANDS.get(name);
  if (!command) throw misuse(unknown(name));
  const { run: runCommand } = await command.load();
  return runCommand(rest, io);
}

function unknown(name: string): string {
  if (DAEMON_COMMANDS.includes(name)) {
    return `"${name}" is a command of the daemon, the Go program isrd; this is the npm package's (npx isrd --help)`;
  }
  return `there is no command "${name}": there is ${[...COMMANDS.keys()].join(", ")} (npx isrd --help)`;
}
