package check_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isrd/isrd/deploy/check"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// buildDaemon builds the daemon as it is here and returns the path of the binary.
func buildDaemon(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "isrd")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./daemon/cmd/isrd")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// daemonSettings asks the daemon for its settings.
func daemonSettings(t *testing.T) check.Settings {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), buildDaemon(t), "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("isrd serve --help: %v\n%s", err, out)
	}
	settings := check.ParseHelp(string(out))
	if !slices.Contains(settings.Flags, "listen") || !slices.Contains(settings.Variables, "ISRD_REDIS_URL") {
		t.Fatalf("isrd serve --help was not understood: %+v\n%s", settings, out)
	}
	return settings
}

// TestFlags holds every command line of deploy/ to the flags that the daemon has.
func TestFlags(t *testing.T) {
	settings := daemonSettings(t)
	for _, c := range commands(t) {
		if len(c.args) == 0 || c.args[0] != "serve" {
			t.Errorf("%s runs isrd %q; want serve", c.where, c.args)
		}
		if unknown := settings.UnknownFlags(c.args); len(unknown) > 0 {
			t.Errorf("%s: isrd serve has no %q", c.where, unknown)
		}
	}
}

// TestVariables holds every ISRD_… name in deploy/, comments included, to those that daemon or client read.
func TestVariables(t *testing.T) {
	known := slices.Concat(daemonSettings(t).Variables, clientVariables(t))
	found := 0
	for _, path := range files(t, "..") {
		if strings.HasPrefix(path, "../check") {
			continue
		}
		for _, name := range check.VariablesIn(string(read(t, path))) {
			found++
			if !slices.Contains(known, name) {
				t.Errorf("%s: neither daemon nor client reads %s", path, name)
			}
		}
	}
	if found == 0 {
		t.Error("no ISRD_… name found at all")
	}
}

// clientVariables are the names that the client's sources mention.
func clientVariables(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, path := range files(t, "../../jsclient/src") {
		names = append(names, check.VariablesIn(string(read(t, path)))...)
	}
	if !slices.Contains(names, "ISRD_ADDRESS") {
		t.Fatalf("ISRD_ADDRESS is not among the client's: %q", names)
	}
	return names
}

func files(t *testing.T, root string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestUnknownFlags(t *testing.T) {
	settings := check.ParseHelp(`Serves.

Flags:
  --listen address    where ($ISRD_LISTEN)
  -redis string
        the store (ISRD_REDIS_URL)
`)
	want := check.Settings{Flags: []string{"listen", "redis"}, Variables: []string{"ISRD_LISTEN", "ISRD_REDIS_URL"}}
	if diff := cmp.Diff(want, settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	got := settings.UnknownFlags([]string{"serve", "--listen=x", "--redis", "y", "--lisen=x", "-redis-prefix"})
	if diff := cmp.Diff([]string{"--lisen=x", "-redis-prefix"}, got); diff != "" {
		t.Errorf("unknown flags (-want +got):\n%s", diff)
	}
}
