// Package cli is the command line: commands, flags, signals and exit codes. Nothing else in the program reads flags,
// catches signals or exits.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// Version is set by the linker.
var Version = "dev"

// command is one verb of the program.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "run the daemon of this node", serve},
		{"health", "ask a running daemon whether it serves; for probes", health},
		{"revalidate", "regenerate paths and revalidate tags, everywhere", revalidate},
		{"warm", "fill the cache of a new build through one process", warmUp},
		{"whoami", "say which replica this is, and what --worker makes of it", whoAmI},
		{"version", "print the version", version},
	}
}

// errUsage marks errors of the person at the keyboard.
var errUsage = errors.New("usage")

// Main runs one command and returns the exit code: 0 done, 1 failed, 2 the command line or the configuration is wrong.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || isHelp(args[0]) {
		usage(stdout)
		if len(args) == 0 {
			return exitUsage
		}
		return exitOK
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:], stdout, stderr)
		switch {
		case err == nil:
			return exitOK
		case errors.Is(err, errUsage):
			complain(stderr, c.name, err)
			return exitUsage
		default:
			complain(stderr, c.name, err)
			return exitFail
		}
	}
	fmt.Fprintf(stderr, "isrd: there is no command %q\n", args[0])
	usage(stderr)
	return exitUsage
}

func isHelp(s string) bool { return s == "help" || s == "--help" || s == "-h" }

func usage(w io.Writer) {
	fmt.Fprint(w, "isrd is one shared cache for every replica of a Next.js app.\n\nUsage: isrd COMMAND [flags]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n\"isrd COMMAND --help\" shows the flags of a command.\n")
}

// complain prints every problem on a line of its own.
func complain(w io.Writer, command string, err error) {
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && line != errUsage.Error() {
			fmt.Fprintf(w, "isrd %s: %s\n", command, line)
		}
	}
}

func version(_ context.Context, _ []string, stdout, _ io.Writer) error {
	toolchain := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		toolchain = " (" + info.GoVersion + ")"
	}
	_, err := fmt.Fprintf(stdout, "isrd %s%s\n", Version, toolchain)
	return err
}
