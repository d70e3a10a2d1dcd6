// Package outbox keeps on disk what must outlive the process: the revalidations that a store which is away has not got.
//
// There is one small file per app, written anew at every change and put in place by a rename: a crash leaves the old one
// or the new one. It is not for many writers: one daemon, one folder.
package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// Outbox implements cache.Outbox on a folder.
type Outbox struct{ dir string }

// Open makes the folder if it is missing, and reports whether it can be written to.
func Open(dir string) (*Outbox, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	return &Outbox{dir: dir}, nil
}

// mark is a tag.Mark as it stands in the file. A tag may hold any bytes, which JSON's strings may not.
type mark struct {
	Tag      []byte `json:"tag"`
	Soft     bool   `json:"soft,omitempty"`
	ExpireAt int64  `json:"expire_at,omitempty"`
}

// Load returns what was saved last; nothing, if nothing is kept.
func (o *Outbox) Load(app string) ([]tag.Mark, error) {
	text, err := os.ReadFile(o.file(app))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	var kept []mark
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("read outbox %s (move it away to start without): %w", o.file(app), err)
	}
	marks := make([]tag.Mark, len(kept))
	for i, m := range kept {
		marks[i] = tag.Mark{Tag: string(m.Tag), Soft: m.Soft, ExpireAt: m.ExpireAt}
	}
	return marks, nil
}

// Save keeps these marks and nothing else. When it returns, they are on disk.
func (o *Outbox) Save(app string, marks []tag.Mark) error {
	if len(marks) == 0 {
		if err := os.Remove(o.file(app)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("empty outbox: %w", err)
		}
		return nil
	}
	kept := make([]mark, len(marks))
	for i, m := range marks {
		kept[i] = mark{Tag: []byte(m.Tag), Soft: m.Soft, ExpireAt: m.ExpireAt}
	}
	text, err := json.Marshal(kept)
	if err == nil {
		err = replace(o.file(app), text)
	}
	if err != nil {
		return fmt.Errorf("write outbox: %w", err)
	}
	return nil
}

func (o *Outbox) file(app string) string {
	return filepath.Join(o.dir, "owed-"+url.PathEscape(app)+".json")
}

// replace puts a file in place as a whole.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("make a file beside it: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open its folder: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
