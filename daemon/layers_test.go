// Package daemon_test holds the rules of structure that hold for all packages of the daemon: who may import whom.
package daemon_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// root is the import path that the table's names are relative to.
const root = "github.com/isrd/isrd/daemon/"

// layers says which packages of the daemon a package's own code may import; its tests may import more (see check).
// Leaves come first. A new package needs a line here, and a line may stand before its package does.
var layers = map[string][]string{
	"gen/isrd/v1": nil,

	// Pure: decisions about time and state, so that testing/synctest can prove them.
	"internal/tag":    nil,
	"internal/lease":  nil,
	"internal/codec":  nil,
	"internal/queue":  nil,
	"internal/config": nil,
	"internal/hub":    {"internal/tag"},
	"internal/outbox": {"internal/tag"},

	// Looks at the platform, and stands alone.
	"internal/whoami": nil,

	// The core and the interfaces that it needs.
	"internal/cache":           {"internal/tag", "internal/lease", "internal/codec"},
	"internal/cache/cachetest": {"internal/cache", "internal/tag", "internal/lease", "internal/codec"},
	"internal/lease/leasetest": {"internal/lease"},
	"internal/queue/queuetest": {"internal/queue"},

	// The implementations of those interfaces.
	"internal/memstore":             {"internal/cache", "internal/tag", "internal/lease", "internal/queue"},
	"internal/redisstore":           {"internal/cache", "internal/tag", "internal/lease", "internal/queue"},
	"internal/redisstore/redistest": nil,

	// What runs on them.
	"internal/worker":  {"internal/queue", "internal/lease", "internal/cache"},
	"internal/server":  {"internal/cache", "internal/hub", "internal/queue", "internal/tag", "internal/lease", "gen/isrd/v1"},
	"internal/webhook": {"internal/queue", "internal/cache"},
	"internal/warm":    {"internal/queue"},
	"internal/server/servertest": {
		"internal/server", "internal/cache", "internal/hub", "internal/tag", "internal/lease", "internal/memstore", "gen/isrd/v1",
	},

	// What puts them together.
	"internal/app": {
		"internal/server", "internal/worker", "internal/redisstore", "internal/memstore", "internal/hub", "internal/cache",
		"internal/queue", "internal/lease", "internal/codec", "internal/tag", "internal/config", "internal/outbox", "internal/webhook",
	},
	"internal/cli": {"internal/app", "internal/config", "internal/whoami", "internal/warm", "gen/isrd/v1"},

	// What looks at all of it, by tests only.
	"internal/simulation": nil,
	"cmd/isrd":            {"internal/cli"},
}

// fences names what only some packages may import, whatever else they do. A name that ends in "/" means all below it.
var fences = []fence{
	{"github.com/redis/", []string{"internal/redisstore", "internal/redisstore/redistest", "internal/simulation"}, "one package knows Redis"},
	{
		"google.golang.org/grpc", []string{"internal/server", "internal/server/servertest", "internal/cli", "internal/simulation", "gen/isrd/v1"},
		"the core does not know how it is reached",
	},
	{
		"google.golang.org/grpc/", []string{"internal/server", "internal/server/servertest", "internal/cli", "internal/simulation", "gen/isrd/v1"},
		"the core does not know how it is reached",
	},
	{
		root + "gen/", []string{"internal/server", "internal/server/servertest", "internal/cli", "internal/simulation"},
		"messages of the wire are not the daemon's own types",
	},
	{"os/signal", []string{"internal/cli"}, "everything else is stopped by its context"},
	{"flag", nil, "flags are pflag's"},
	{"github.com/spf13/pflag", []string{"internal/cli", "internal/config"}, "everything else gets a Config"},
}

// fence is a rule about one import.
type fence struct {
	path string   // an import path, or a prefix that ends in "/"
	only []string // the packages that may
	why  string
}

// covers says whether an import falls under the fence.
func (f fence) covers(path string) bool {
	if strings.HasSuffix(f.path, "/") {
		return strings.HasPrefix(path, f.path)
	}
	return path == f.path
}

// pkg is what `go list -json` says of a package, as far as the rules ask.
type pkg struct {
	ImportPath   string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// TestLayers holds the packages of the daemon to the table.
func TestLayers(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 5 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for _, violation := range check(packages) {
		t.Error(violation)
	}
}

// TestLayersFindsViolations plants one violation of each rule: a rule that finds nothing would pass for ever.
func TestLayersFindsViolations(t *testing.T) {
	const in = root + "internal/"
	good := pkg{ImportPath: in + "hub", Doc: "Package hub.", GoFiles: []string{"hub.go"}, Imports: []string{"sync", in + "tag"}}
	if got := check([]pkg{good}); len(got) != 0 {
		t.Fatalf("a package that keeps the rules: %q", got)
	}

	for _, test := range []struct {
		name   string
		change func(*pkg)
		want   string
	}{
		{"upwards", func(p *pkg) { p.Imports = []string{in + "server"} }, "internal/hub may not import internal/server: not in its line of the table"},
		{"unknown package", func(p *pkg) { p.ImportPath = in + "util" }, "internal/util has no line in the table of layers_test.go"},
		{"no comment", func(p *pkg) { p.Doc = "" }, "internal/hub has no package comment"},
		{"go-redis", func(p *pkg) { p.Imports = []string{"github.com/redis/go-redis/v9"} }, "internal/hub may not import github.com/redis/go-redis/v9: one package knows Redis"},
		{"grpc", func(p *pkg) { p.Imports = []string{"google.golang.org/grpc"} }, "internal/hub may not import google.golang.org/grpc: the core does not know how it is reached"},
		{"below grpc", func(p *pkg) { p.Imports = []string{"google.golang.org/grpc/codes"} }, "internal/hub may not import google.golang.org/grpc/codes: the core does not know how it is reached"},
		{"signals", func(p *pkg) { p.Imports = []string{"os/signal"} }, "internal/hub may not import os/signal: everything else is stopped by its context"},
		{"wire types in a test", func(p *pkg) { p.XTestImports = []string{root + "gen/isrd/v1"} }, "internal/hub (test) may not import github.com/isrd/isrd/daemon/gen/isrd/v1: messages of the wire are not the daemon's own types"},
		{"test helper", func(p *pkg) { p.Imports = []string{in + "cache/cachetest"} }, "internal/hub may not import internal/cache/cachetest: only tests may"},
	} {
		t.Run(test.name, func(t *testing.T) {
			planted := good
			test.change(&planted)
			if diff := cmp.Diff([]string{test.want}, check([]pkg{planted})); diff != "" {
				t.Errorf("violations found (-want +got):\n%s", diff)
			}
		})
	}

	planted := good
	planted.TestImports = []string{in + "cache/cachetest", in + "memstore"}
	if got := check([]pkg{planted}); len(got) != 0 {
		t.Errorf("a test that uses a helper and a store: %q", got)
	}
}

// TestLayersHasNoCycle checks the table itself: lines that allow a cycle allow two packages to become one.
func TestLayersHasNoCycle(t *testing.T) {
	done := map[string]bool{}
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		if slices.Contains(path, name) {
			t.Fatalf("the table allows a cycle: %s", strings.Join(append(path, name), " → "))
		}
		if done[name] {
			return
		}
		may, known := layers[name]
		if !known {
			t.Errorf("the table allows an import of %s, which has no line itself", name)
		}
		for _, below := range may {
			visit(below, append(slices.Clone(path), name))
		}
		done[name] = true
	}
	for name := range layers {
		visit(name, nil)
	}
}

// check returns what in packages breaks the rules, sorted, a sentence each.
//
// Tests may import any package of the daemon, so that a test can put real parts together, but stay within the fences.
func check(packages []pkg) []string {
	var found []string
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, root)
		if len(p.GoFiles) == 0 {
			continue // tests only, such as this package
		}
		may, known := layers[name]
		if !known {
			found = append(found, name+" has no line in the table of layers_test.go")
		}
		if p.Doc == "" && !strings.HasPrefix(name, "gen/") {
			found = append(found, name+" has no package comment")
		}
		for _, path := range p.Imports {
			found = append(found, checkImport(name, may, known, path)...)
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			found = append(found, checkFences(name, name+" (test)", path)...)
		}
	}
	sort.Strings(found)
	return slices.Compact(found)
}

// checkImport judges one import of a package's own code; may is its line in the table, if it is known to have one.
func checkImport(name string, may []string, known bool, path string) []string {
	if broken := checkFences(name, name, path); broken != nil {
		return broken
	}
	ours, isOurs := strings.CutPrefix(path, root)
	switch {
	case !isOurs:
		return nil
	case strings.HasSuffix(ours, "test") && !strings.HasSuffix(name, "test"):
		return []string{fmt.Sprintf("%s may not import %s: only tests may", name, ours)}
	case known && !slices.Contains(may, ours):
		return []string{fmt.Sprintf("%s may not import %s: not in its line of the table", name, ours)}
	}
	return nil
}

// checkFences judges one import by the fences; who is the package as the sentence names it.
func checkFences(name, who, path string) []string {
	for _, f := range fences {
		if f.covers(path) && !slices.Contains(f.only, name) {
			return []string{fmt.Sprintf("%s may not import %s: %s", who, path, f.why)}
		}
	}
	return nil
}

// list asks the go command for packages, by patterns relative to this folder.
//
// A test's result is cached by what the test itself has looked at, and go list is another process: without the look at
// every file, a violation in another package would be answered with the cached result from before it.
func list(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	look := func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	}
	if err := filepath.WalkDir(".", look); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"list", "-json=ImportPath,Doc,GoFiles,Imports,TestImports,XTestImports"}, patterns...)
	command := exec.CommandContext(t.Context(), "go", args...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	var packages []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("decode the output of go list: %v", err)
		}
		packages = append(packages, p)
	}
}
