package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/isrd/isrd/daemon/internal/app"
	"github.com/isrd/isrd/daemon/internal/config"
	"github.com/isrd/isrd/daemon/internal/whoami"
)

// serve runs the daemon until a signal. The first one stops it in order; a second one ends the process at once.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg := config.Default()
	fs := newFlagSet("serve", "Run the daemon of this node. Every flag can also be given as an environment variable.", stdout)
	cfg.Register(fs)
	for name, env := range envNames(fs) {
		f := fs.Lookup(name)
		f.Usage += " [" + env + "]"
	}
	if err := parse(fs, args); err != nil {
		return help(err)
	}
	if err := errors.Join(config.Environ(fs, os.LookupEnv), cfg.Validate()); err != nil {
		return errors.Join(errUsage, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from now on a signal has its default effect
	log := newLogger(cfg, stderr)
	if cfg.Worker == "ordinal" && cfg.Ordinal < 0 {
		id := whoami.Look(ctx, whoami.Here())
		cfg.Ordinal = id.Ordinal
		log.Info("looked for this daemon's ordinal", slog.Int("ordinal", id.Ordinal), slog.String("platform", string(id.Platform)), slog.Any("why", id.Why))
	}
	daemon, err := app.New(ctx, cfg, Version, log)
	if err != nil {
		return err
	}
	return daemon.Run(ctx)
}

func envNames(fs *pflag.FlagSet) map[string]string {
	names := make(map[string]string)
	fs.VisitAll(func(f *pflag.Flag) { names[f.Name] = config.EnvName(f.Name) })
	return names
}

func newFlagSet(name, about string, out io.Writer) *pflag.FlagSet {
	fs := pflag.NewFlagSet("isrd "+name, pflag.ContinueOnError)
	fs.SetOutput(out)
	fs.SortFlags = false
	fs.Usage = func() {
		fmt.Fprintf(out, "%s\n\nUsage: isrd %s [flags]\n\nFlags:\n%s", about, name, fs.FlagUsagesWrapped(110))
	}
	return fs
}

// parse reads the flags; anything that is no flag is a mistake.
func parse(fs *pflag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return errors.Join(errUsage, fmt.Errorf("%w; see --help", err))
	}
	if fs.NArg() > 0 {
		return errors.Join(errUsage, fmt.Errorf("unexpected %q; options begin with --", fs.Arg(0)))
	}
	return nil
}

// help turns a request for help, which was fulfilled, into success.
func help(err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return nil
	}
	return err
}

func newLogger(cfg config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		level = slog.LevelInfo // Validate has refused it before
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
