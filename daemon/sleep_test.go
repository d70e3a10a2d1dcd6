package daemon_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSleepsAreVirtual: a test may sleep only where sleeping moves a virtual clock; anywhere else it guesses how long
// something takes, and is slow or flaky or both. Outside tests the linter forbids sleeping altogether.
func TestSleepsAreVirtual(t *testing.T) {
	var tests []string
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			tests = append(tests, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tests) < 2 {
		t.Fatalf("found no tests but %q", tests)
	}
	for _, path := range tests {
		for _, sleep := range realSleeps(t, path, nil) {
			t.Errorf("%s sleeps without testing/synctest: wait for a signal, with a bound", sleep)
		}
	}
}

func TestSleepsAreVirtualFindsOne(t *testing.T) {
	const body = "func TestX() { time.Sleep(1) }\n"
	got := realSleeps(t, "x_test.go", "package x\nimport \"time\"\n"+body)
	if diff := cmp.Diff([]string{"x_test.go:3:16"}, got); diff != "" {
		t.Errorf("a sleep (-want +got):\n%s", diff)
	}
	if got := realSleeps(t, "x_test.go", "package x\nimport (\"time\"; \"testing/synctest\")\n"+body); got != nil {
		t.Errorf("a virtual sleep: %q", got)
	}
}

// realSleeps returns where a file calls time.Sleep, unless it uses testing/synctest. source may be nil: read the file.
func realSleeps(t *testing.T, path string, source any) []string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` }) {
		return nil
	}
	var found []string
	ast.Inspect(file, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok && selector.Sel.Name == "Sleep" {
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == "time" {
				found = append(found, files.Position(selector.Pos()).String())
			}
		}
		return true
	})
	return found
}
