package cache_test

import (
	"fmt"
	"testing"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/memstore"
	"github.com/isrd/isrd/daemon/internal/tag"
)

func TestTheMostReadPagesAreKnown(t *testing.T) {
	store, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := cache.New(cache.Config{Store: store, Log: store, Memory: store.Memory(), Embedded: true, Publisher: new(hub.Hub), CountReads: true})
	read := func(name, tag string, times int) {
		t.Helper()
		e := entry(name, tag)
		e.Key.Name = name
		if _, _, err := c.Set(t.Context(), cache.SetRequest{Entry: e}); err != nil {
			t.Fatal(err)
		}
		for range times {
			if a, err := c.Get(t.Context(), cache.GetRequest{Key: e.Key}); err != nil || a.Entry == nil {
				t.Fatal(a, err)
			}
		}
	}
	most := func(n int) (names []string) {
		for _, k := range c.MostRead("shop", []tag.Revalidation{{Tag: "t"}, {Tag: "none"}}, n) {
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
	if got := fmt.Sprint(most(2)); got != "[/often /twice]" {
		t.Errorf("got %s", got)
	}
	// More pages than are counted: those that are read least make room, and the counts stay bounded.
	for i := range 9000 {
		read(fmt.Sprint("/many/", i), "many", 16)
	}
	if got := fmt.Sprint(most(1)); got != "[/often]" {
		t.Errorf("got %s", got)
	}
	if got := len(c.MostRead("shop", []tag.Revalidation{{Tag: "many"}}, 100_000)); got > 8192 {
		t.Errorf("%d pages are counted", got)
	}
}
