package outbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isrd/isrd/daemon/internal/outbox"
	"github.com/isrd/isrd/daemon/internal/tag"
)

func TestWhatIsSavedIsThereForTheNextProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by itself")
	want := []tag.Mark{{Tag: "products"}, {Tag: "\x00key:\xff"}, {Tag: "größe", Soft: true, ExpireAt: 42}, {Tag: "max", Soft: true, ExpireAt: tag.Never}}
	for i := range 2 {
		o, err := outbox.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			for _, marks := range [][]tag.Mark{{{Tag: "earlier"}}, want} {
				if err := o.Save("a/../b", marks); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, err := o.Load("a/../b")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("process %d (-saved +loaded):\n%s", i, diff)
		}
		if other, err := o.Load("b"); err != nil || other != nil {
			t.Errorf("another app: %v, %v", other, err)
		}
	}
	o, err := outbox.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := o.Save("a/../b", nil); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("an empty outbox leaves %v, %v", left, err)
	}
}

func TestWhatCannotBeReadSaysWhereItIs(t *testing.T) {
	dir := t.TempDir()
	o, err := outbox.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "owed-shop.json")
	if err := os.WriteFile(path, []byte(`[{"tag": "cHJv`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Load("shop"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestAFolderThatCannotBeIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := outbox.Open(filepath.Join(file, "dir")); err == nil {
		t.Error("opened below a file")
	}
}
