package cache_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

func TestLifeOfAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, true)
		miss := f.get(cache.GetRequest{})
		f.want(miss, cache.Miss, cache.Absent, true, "")
		if got := f.set(miss, entry("one")); got != cache.Accepted {
			t.Fatalf("set: %v", got)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		time.Sleep(61 * time.Second)
		winner := f.get(cache.GetRequest{})
		f.want(winner, cache.Stale, cache.Revalidate, true, "one")
		f.want(f.get(cache.GetRequest{}), cache.Stale, cache.Revalidate, false, "one")
		f.set(winner, entry("two"))
		hit := f.get(cache.GetRequest{})
		f.want(hit, cache.Hit, cache.NoReason, false, "two")
		time.Sleep(2 * time.Hour)
		f.want(f.get(cache.GetRequest{}), cache.Miss, cache.Expired, true, "")
	})
}

func TestRevalidationIsJudgedAtReadTime(t *testing.T) {
	soft := func(expire time.Duration) tag.Revalidation {
		return tag.Revalidation{Tag: "products", Soft: true, Expire: expire}
	}
	tests := []struct {
		name   string
		mark   tag.Revalidation
		soft   []string
		status cache.Status
		reason cache.Reason
		body   string
	}{
		{name: "its tag expired it", mark: tag.Revalidation{Tag: "products"}, status: cache.Miss, reason: cache.TagExpired},
		{name: "its tag made it stale", mark: soft(time.Minute), status: cache.Stale, reason: cache.TagStale, body: "one"},
		{name: "its tag made it stale and expired it since", mark: soft(0), status: cache.Miss, reason: cache.TagExpired},
		{name: "another tag", mark: tag.Revalidation{Tag: "blog"}, status: cache.Hit, body: "one"},
		{name: "a tag of the reader", mark: tag.Revalidation{Tag: "_N_T_/blog"}, soft: []string{"_N_T_/blog"}, status: cache.Miss, reason: cache.TagExpired},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, true, func(f *fixture) {
				f.set(f.get(cache.GetRequest{}), entry("one", "products"))
				f.revalidate(test.mark)
				a := f.get(cache.GetRequest{SoftTags: test.soft})
				f.want(a, test.status, test.reason, test.status != cache.Hit, test.body)
			})
		})
	}
}

func TestOnDemandRenderInvalidatesAPageWithoutTags(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one"))
		onDemand := f.get(cache.GetRequest{OnDemand: true})
		f.want(onDemand, cache.Stale, cache.TagStale, true, "one")
		again := f.get(cache.GetRequest{OnDemand: true})
		f.want(again, cache.Stale, cache.TagStale, true, "one")
		if !onDemand.Base.Less(again.Base) {
			f.t.Errorf("the second on-demand render has base %v, not after %v", again.Base, onDemand.Base)
		}
		f.set(again, entry("three"))
		if got := f.set(onDemand, entry("two")); got != cache.RefusedOlder {
			f.t.Errorf("the write of the render that was overridden: %v", got)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "three")
	})
}

func TestHeldAndJudgedVersions(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one"))
		hit := f.get(cache.GetRequest{})
		held := f.get(cache.GetRequest{Held: hit.Entry.Version})
		if !held.Unchanged {
			f.t.Error("the version that the caller holds is not recognised")
		}
		// A caller that found it wanting gets the lease, not the same entry as a hit.
		judged := f.get(cache.GetRequest{Judged: hit.Entry.Version})
		if judged.Lease.Token == 0 {
			f.t.Errorf("got %v without a lease", judged.Status)
		}
		f.set(judged, entry("two"))
		f.want(f.get(cache.GetRequest{Judged: hit.Entry.Version}), cache.Hit, cache.NoReason, false, "two")
	})
}

func TestStoreAway(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		away := errors.Join(cache.ErrUnavailable, errors.New("connection refused"))
		f.set(f.get(cache.GetRequest{}), entry("one", "products"))
		f.flaky.breakWith(away)
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		time.Sleep(2 * time.Minute)
		f.want(f.get(cache.GetRequest{}), cache.Stale, cache.StoreUnavailable, false, "one")
		other := home
		other.Name = "/other"
		miss := f.get(cache.GetRequest{Key: other})
		f.want(miss, cache.Miss, cache.StoreUnavailable, false, "")
		e := entry("two")
		e.Key = other
		outcome, _, err := f.Set(f.t.Context(), cache.SetRequest{Entry: e, Base: miss.Base, Durable: true})
		if outcome != cache.LocalOnly || err != nil {
			f.t.Errorf("durable set without a store: %v, %v", outcome, err)
		}
		f.want(f.get(cache.GetRequest{Key: other}), cache.Hit, cache.NoReason, false, "two")
		f.flaky.breakWith(nil)
		f.want(f.get(cache.GetRequest{}), cache.Stale, cache.Revalidate, true, "one")
	})
}

func TestFreshEntryCostsTheStoreNothing(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one"))
		before := f.flaky.reads
		for range 1000 {
			f.get(cache.GetRequest{})
		}
		if n := f.flaky.reads - before; n != 0 {
			f.t.Errorf("1000 reads of a fresh entry asked the store %d times", n)
		}
	})
}

func TestKeysOfDifferentScopesNeverMeet(t *testing.T) {
	ids := make(map[cache.ID]cache.Key)
	for _, app := range []string{"shop", "blog", "sho"} {
		for _, build := range []string{"", "b1", "b2"} {
			for _, name := range []string{"/index", "p/index", "b1/index"} {
				k := cache.Key{App: app, Build: build, Space: cache.Route, Name: name}
				if other, ok := ids[k.ID()]; ok {
					t.Errorf("%v and %v have the same id", k, other)
				}
				ids[k.ID()] = k
			}
		}
	}
	a := cache.Key{App: "shop", Build: "b1", Space: cache.Fetch, Name: "x"}
	b := cache.Key{App: "shop", Build: "b2", Space: cache.Fetch, Name: "x"}
	if a.ID() != b.ID() {
		t.Error("a fetch of one build is not found by the next")
	}
}

func TestMetricsTellWhatHappened(t *testing.T) {
	f := newFixture(t, true)
	f.set(f.get(cache.GetRequest{}), entry("one"))
	f.get(cache.GetRequest{})
	want := `
# HELP isrd_cache_gets_total Reads, by key space, outcome and the reason why it was no hit.
# TYPE isrd_cache_gets_total counter
isrd_cache_gets_total{reason="",space="route",status="hit"} 1
isrd_cache_gets_total{reason="absent",space="route",status="miss"} 1
# HELP isrd_cache_memory_entries Entries in memory.
# TYPE isrd_cache_memory_entries gauge
isrd_cache_memory_entries 1
`
	if err := testutil.GatherAndCompare(f.reg, strings.NewReader(want), "isrd_cache_gets_total", "isrd_cache_memory_entries"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(f.reg); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestInvalidKeys(t *testing.T) {
	f := newFixture(t, true)
	for _, k := range []cache.Key{{}, {App: "a", Name: "n"}, {App: "a", Space: cache.Route}, {App: "a", Space: 9, Name: "n"}, {App: "a", Space: cache.Route, Name: string(make([]byte, 1<<20))}} {
		if _, err := f.Get(t.Context(), cache.GetRequest{Key: k}); !errors.Is(err, cache.ErrKey) {
			t.Errorf("get %.20v: %v", k, err)
		}
	}
}

func TestAppsAreBounded(t *testing.T) {
	f := newFixture(t, true)
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		_, err = f.Position(t.Context(), fmt.Sprint("app-", i))
	}
	if err == nil || !strings.Contains(err.Error(), "--app") {
		t.Errorf("1000 apps: %v", err)
	}
}
