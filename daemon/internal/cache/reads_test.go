package cache

import (
	"fmt"
	"slices"
	"testing"

	"github.com/isrd/isrd/daemon/internal/tag"
)

func TestTheMostReadPagesAreKnown(t *testing.T) {
	var r reads
	read := func(name, tag string, times int) {
		e := &Entry{Key: Key{App: "shop", Space: Route, Name: name}, Tags: []string{tag}}
		for range times {
			r.saw(e.Key.ID(), e)
		}
	}
	most := func(n int) (names []string) {
		for _, k := range r.most([]tag.Revalidation{{Tag: "t"}, {Tag: "none"}}, n) {
			names = append(names, k.Name)
		}
		return names
	}
	if got := most(3); got != nil {
		t.Errorf("of an app that nobody has read: %q", got)
	}
	read("/twice", "t", 64)
	read("/often", "t", 640)
	read("/other", "o", 6400)
	read("/once", "t", 16)
	if got := most(2); !slices.Equal(got, []string{"/often", "/twice"}) {
		t.Errorf("got %q", got)
	}
	if got := r.most(nil, 1); len(got) != 1 || got[0].Name != "/other" {
		t.Errorf("of all: %v", got)
	}
	// More pages than are counted: those that are read least make room, and the counts stay bounded.
	for i := range 9000 {
		read(fmt.Sprint("/many/", i), "many", 16)
	}
	if got := most(1); !slices.Equal(got, []string{"/often"}) {
		t.Errorf("got %q", got)
	}
	if got := len(r.counts); got > maxCounted {
		t.Errorf("%d pages are counted", got)
	}
}
