package cache_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// second is another daemon on the store of the fixture.
func (f *fixture) second() *fixture {
	f.t.Helper()
	memory, err := cache.NewMemory(64 << 20)
	if err != nil {
		f.t.Fatal(err)
	}
	other := *f
	other.Cache = cache.New(cache.Config{
		Store: f.flaky, Log: f.log, Memory: memory, Publisher: new(hub.Hub), Registerer: prometheus.NewRegistry(),
	})
	return &other
}

// Renders that no lease keeps apart begin in the same moment.
func TestWritesWithoutALeaseHaveVersionsOfTheirOwn(t *testing.T) {
	const renders = 20
	bases := func(f *fixture) (versions []cache.Version) {
		for range renders {
			a := f.get(cache.GetRequest{})
			if a.Lease.Token != 0 {
				f.t.Errorf("got the lease %d", a.Lease.Token)
			}
			versions = append(versions, a.Base)
		}
		return versions
	}
	tests := map[string]func(f *fixture) []cache.Version{
		"nothing is there, the store is away": func(f *fixture) []cache.Version {
			f.get(cache.GetRequest{NoLease: true})
			f.away(cache.ErrUnavailable)
			time.Sleep(2 * cache.Bound)
			return bases(f)
		},
		"an old entry is there, the store is away": func(f *fixture) []cache.Version {
			f.set(f.get(cache.GetRequest{}), entry("old"))
			f.away(cache.ErrUnavailable)
			time.Sleep(2 * time.Minute)
			return bases(f)
		},
		"an old entry is there, somebody has the lease": func(f *fixture) []cache.Version {
			f.set(f.get(cache.GetRequest{}), entry("old"))
			time.Sleep(2 * time.Minute)
			f.get(cache.GetRequest{})
			return bases(f)
		},
		"there was no get, and something is owed": func(f *fixture) []cache.Version {
			f.get(cache.GetRequest{NoLease: true})
			f.away(cache.ErrUnavailable)
			f.revalidate(tag.Revalidation{Tag: "t"})
			var versions []cache.Version
			for range renders {
				_, v, err := f.Set(f.t.Context(), cache.SetRequest{Entry: entry("one"), Position: f.position()})
				if err != nil {
					f.t.Fatal(err)
				}
				versions = append(versions, v)
			}
			return versions
		},
	}
	for name, versionsOf := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if n := different(versionsOf(newFixture(t, false))); n != renders {
					t.Errorf("%d writes have %d versions", renders, n)
				}
			})
		})
	}
}

// The same of several daemons, in one millisecond. Two of them can have the same ending, with a chance of one in a thousand.
func TestWritesOfSeveralDaemonsHaveVersionsOfTheirOwn(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		const daemons = 20
		var versions []cache.Version
		for range daemons {
			_, v, err := f.second().Set(f.t.Context(), cache.SetRequest{Entry: entry("one"), Position: f.position()})
			if err != nil {
				f.t.Fatal(err)
			}
			versions = append(versions, v)
		}
		if n := different(versions); n < daemons-5 {
			f.t.Errorf("%d writes have %d versions", daemons, n)
		}
	})
}

func different(versions []cache.Version) int {
	seen := make(map[cache.Version]bool)
	for _, v := range versions {
		seen[v] = true
	}
	return len(seen)
}

func TestOlderVersionNeverReplacesANewerOne(t *testing.T) {
	for _, embedded := range []bool{true, false} {
		bubble(t, embedded, func(f *fixture) {
			slow := f.get(cache.GetRequest{})
			time.Sleep(31 * time.Second) // its lease has run out
			fast := f.get(cache.GetRequest{})
			f.want(fast, cache.Miss, cache.Absent, true, "")
			f.set(fast, entry("new"))
			if got := f.set(slow, entry("old")); got != cache.RefusedOlder {
				f.t.Errorf("the write of the older lease: %v", got)
			}
			f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "new")
		})
	}
}

func TestVersionsAreOrderedAsText(t *testing.T) {
	versions := []cache.Version{{}, {0, 0, 1}, {0, 1, 0}, {1, 0, 0}, {1, 2, 3}, {1, 2, 10}, {1, 16, 1}, {9, 1, 1 << 53}, {10, 0, 0}}
	for i, v := range versions {
		parsed, err := cache.ParseVersion(v.String())
		if err != nil || parsed != v {
			t.Errorf("%v is read back as %v, %v", v, parsed, err)
		}
		if i > 0 && (!versions[i-1].Less(v) || versions[i-1].String() >= v.String()) {
			t.Errorf("%v is not before %v", versions[i-1], v)
		}
	}
	for _, bad := range []string{"", "1.2.3", "x" + versions[0].String()[1:]} {
		if _, err := cache.ParseVersion(bad); err == nil {
			t.Errorf("%q was read as a version", bad)
		}
	}
}

func TestRenderOlderThanAnInvalidationIsRefused(t *testing.T) {
	for _, embedded := range []bool{true, false} {
		bubble(t, embedded, func(f *fixture) {
			old := f.get(cache.GetRequest{})
			f.revalidate(tag.Revalidation{Tag: "products"})
			if got := f.set(old, entry("old", "products")); got != cache.RefusedInvalidated {
				f.t.Errorf("the late write of an old render: %v", got)
			}
			// Its lease has ended with it: nobody waits for the TTL.
			start := time.Now()
			f.want(f.get(cache.GetRequest{}), cache.Miss, cache.Absent, true, "")
			if time.Since(start) != 0 {
				f.t.Error("the lease of the refused write was still held")
			}
		})
	}
}

func TestVersionsThatNobodyCanHaveSeenAreRefused(t *testing.T) {
	tests := map[string]func(tag.Position) cache.Version{
		"a position of the future": func(p tag.Position) cache.Version { return cache.Version{Epoch: p.Epoch, Seq: math.MaxInt64, Token: 1} },
		"an epoch of the future":   func(p tag.Position) cache.Version { return cache.Version{Epoch: p.Epoch + 1, Token: 1} },
		"a token of the future":    func(p tag.Position) cache.Version { return cache.Version{Epoch: p.Epoch, Seq: p.Seq, Token: 1 << 52} },
		"an epoch of the past":     func(tag.Position) cache.Version { return cache.Version{Epoch: 1, Seq: 1, Token: 1} },
	}
	for name, version := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, true, func(f *fixture) {
				if got := f.write(cache.SetRequest{Entry: entry("bad", "t"), Base: version(f.position())}); got != cache.RefusedInvalidated {
					f.t.Errorf("it is %v", got)
				}
				miss := f.get(cache.GetRequest{})
				f.want(miss, cache.Miss, cache.Absent, true, "")
				f.set(miss, entry("good", "t"))
				f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "good")
			})
		})
	}
}
