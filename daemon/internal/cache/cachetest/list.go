package cachetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// Lister holds an empty store to what cache.Lister promises.
func Lister(t *testing.T, s interface {
	cache.Store
	cache.Lister
},
) {
	t.Helper()
	const many = 700 // several steps of a scan
	write := func(k cache.Key, l cache.Lifetime) {
		e := &cache.Entry{Key: k, Version: cache.Version{Seq: 1, Token: 1}, Lifetime: l, Tags: []string{"t"}, Meta: []byte("meta"), Parts: [][]byte{make([]byte, 5000)}}
		if ok, err := s.Write(t.Context(), e, cache.WriteOptions{}); err != nil || !ok {
			t.Fatalf("write %q: %v, %v", k.Name, ok, err)
		}
	}
	hour := cache.Lifetime{Revalidate: time.Hour, Expire: cache.Unlimited}
	want := make(map[string]cache.Lifetime)
	for i := range many {
		k := cache.Key{App: "a", Build: fmt.Sprintf("b%d", i%2), Space: cache.Route, Name: fmt.Sprintf("/page/%d", i)}
		write(k, hour)
		want[k.Name] = hour
	}
	forever := cache.Lifetime{Revalidate: cache.Unlimited, Expire: 24 * time.Hour}
	write(cache.Key{App: "a", Build: "b0", Space: cache.Route, Name: "/ü?*[x]"}, forever)
	want["/ü?*[x]"] = forever
	write(cache.Key{App: "other", Build: "b0", Space: cache.Route, Name: "/page/1"}, hour)
	write(cache.Key{App: "a", Space: cache.Fetch, Name: "fetch"}, hour)

	list := func(opt cache.ListOptions, limit int) map[string]cache.Lifetime {
		got := make(map[string]cache.Lifetime)
		err := s.List(t.Context(), opt, func(l cache.Listed) bool {
			if string(l.Meta) != "meta" {
				t.Errorf("%q has meta %q", l.Key.Name, l.Meta)
			}
			got[l.Key.Name] = l.Lifetime
			return len(got) < limit
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if diff := cmp.Diff(want, list(cache.ListOptions{App: "a", Space: cache.Route}, many*2)); diff != "" {
		t.Errorf("of every build (-want +got):\n%s", diff)
	}
	if got := list(cache.ListOptions{App: "a", Build: "b1", Space: cache.Route}, many*2); len(got) != many/2 {
		t.Errorf("of one build: %d entries, want %d", len(got), many/2)
	}
	if got := slices.Collect(maps.Keys(list(cache.ListOptions{App: "a", Build: "b1", Space: cache.Fetch}, many))); !slices.Equal(got, []string{"fetch"}) {
		t.Errorf("fetches, which have no build: %q", got)
	}
	if got := list(cache.ListOptions{App: "a", Space: cache.Route}, 3); len(got) != 3 {
		t.Errorf("each said enough after 3 and was called %d times", len(got))
	}
	if got := list(cache.ListOptions{App: "nobody", Space: cache.Route}, 3); len(got) != 0 {
		t.Errorf("of an app that has none: %v", got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.List(gone, cache.ListOptions{App: "a", Space: cache.Route}, func(cache.Listed) bool { return true }); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("for a caller that has gone: %v", err)
	}
}
