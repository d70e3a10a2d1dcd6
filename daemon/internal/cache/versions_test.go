package cache_test

import (
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
	// Only one of a daemon's writes of one version would be stored, so each is of another daemon's.
	writes := func(f *fixture) (versions []cache.Version) {
		for range renders {
			_, v, err := f.second().Set(f.t.Context(), cache.SetRequest{Entry: entry("one"), Position: f.position()})
			if err != nil {
				f.t.Fatal(err)
			}
			versions = append(versions, v)
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
		"there was no get": writes,
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
				seen := make(map[cache.Version]bool)
				for _, v := range versionsOf(newFixture(t, false)) {
					seen[v] = true
				}
				if len(seen) != renders {
					t.Errorf("%d writes have %d versions", renders, len(seen))
				}
			})
		})
	}
}

// A render that began after a revalidation that is owed is served, also where an entry from before is there.
func TestWhatIsRenderedAfterWhatIsOwedIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, false)
		f.run()
		f.set(f.get(cache.GetRequest{}), entry("old", "products"))
		time.Sleep(10 * time.Millisecond)
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "products"})
		miss := f.get(cache.GetRequest{})
		f.want(miss, cache.Miss, cache.StoreUnavailable, false, "")
		if got := f.set(miss, entry("new", "products")); got != cache.Accepted {
			t.Errorf("set: %v", got)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.StoreUnavailable, false, "new")
	})
}
