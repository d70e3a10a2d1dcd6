package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/isrd/isrd/daemon/internal/whoami"
)

// whoAmI prints which replica this is, by what it is known, and what a daemon here makes of --worker.
func whoAmI(ctx context.Context, args []string, stdout, _ io.Writer) error {
	fs := newFlagSet("whoami", "Say which replica this is, by what it is known, and what `isrd serve` here makes of --worker.", stdout)
	output := fs.String("output", "text", "text or json")
	if err := parse(fs, args); err != nil {
		return help(err)
	}
	id := whoami.Look(ctx, whoami.Here())
	switch *output {
	case "text":
		return printIdentity(stdout, id)
	case "json":
		return encodeIdentity(stdout, id)
	default:
		return errors.Join(errUsage, fmt.Errorf("--output %q: write text or json", *output))
	}
}

func printIdentity(w io.Writer, id whoami.Identity) error {
	ordinal := "none"
	if id.Ordinal != whoami.None {
		ordinal = strconv.Itoa(id.Ordinal)
	}
	fmt.Fprintf(w, "platform  %s\ninstance  %s\nordinal   %s\nrole      %s\n", id.Platform, id.Instance, ordinal, cmp.Or(id.Role, "none"))
	if id.Task != nil && id.Task.Service != "" {
		fmt.Fprintf(w, "service   %s\n", id.Task.Service)
	}
	fmt.Fprint(w, "\nwhy:\n")
	for _, line := range id.Why {
		fmt.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprint(w, "\nisrd serve with --worker:\n")
	for _, mode := range whoami.Modes {
		if _, err := fmt.Fprintf(w, "  %-11s%s\n", mode, id.Verdict(mode)); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

// encodeIdentity gives the same to programs. An ordinal that there is none of is null.
func encodeIdentity(w io.Writer, id whoami.Identity) error {
	out := struct {
		whoami.Identity
		Ordinal *int              `json:"ordinal"`
		Worker  map[string]string `json:"worker"`
	}{Identity: id, Worker: map[string]string{}}
	if id.Ordinal != whoami.None {
		out.Ordinal = &id.Ordinal
	}
	for _, mode := range whoami.Modes {
		out.Worker[mode] = id.Verdict(mode)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
