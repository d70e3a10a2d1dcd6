package cache_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/tag"
)

func TestParkedReadIsWokenByTheWrite(t *testing.T) {
	for _, embedded := range []bool{true, false} { // before a store, the acknowledgement is what wakes: nothing is stored here
		bubble(t, embedded, wakeByWrite)
	}
}

func wakeByWrite(f *fixture) {
	holder := f.get(cache.GetRequest{})
	answers := make(chan cache.Answer, 3)
	var announced sync.WaitGroup
	for range 3 {
		announced.Add(1)
		go func() {
			answers <- f.get(cache.GetRequest{Parked: func(limit time.Duration) {
				if limit != 10*time.Second {
					f.t.Errorf("parked for %v, want 10s", limit)
				}
				announced.Done()
			}})
		}()
	}
	announced.Wait()
	start := time.Now()
	f.set(holder, entry("one"))
	for range 3 {
		f.want(<-answers, cache.Hit, cache.NoReason, false, "one")
	}
	if waited := time.Since(start); waited != 0 {
		f.t.Errorf("woken %v after the write; want at once", waited)
	}
}

func TestReleaseLetsOneParkedReadHaveTheLease(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		holder := f.get(cache.GetRequest{})
		answers := make(chan cache.Answer, 2)
		for range 2 {
			go func() { answers <- f.get(cache.GetRequest{}) }()
		}
		synctest.Wait()
		start := time.Now()
		if ok, err := f.Release(f.t.Context(), home, holder.Lease.Token, cache.ReleaseOptions{}); !ok || err != nil {
			f.t.Fatalf("release: %v, %v", ok, err)
		}
		next := <-answers
		f.want(next, cache.Miss, cache.Absent, true, "")
		if waited := time.Since(start); waited != 0 {
			f.t.Errorf("granted %v after the release; want at once", waited)
		}
		f.set(next, entry("one"))
		f.want(<-answers, cache.Hit, cache.NoReason, false, "one")
	})
}

func TestWaitIsBounded(t *testing.T) {
	for space, limit := range map[cache.Space]time.Duration{cache.Route: 10 * time.Second, cache.Fetch: time.Second, cache.UseCache: time.Second} {
		t.Run(space.String(), func(t *testing.T) {
			bubble(t, true, func(f *fixture) {
				k := home
				k.Space = space
				f.get(cache.GetRequest{Key: k})
				start := time.Now()
				a := f.get(cache.GetRequest{Key: k})
				f.want(a, cache.Miss, cache.Waited, false, "")
				if waited := time.Since(start); waited != limit {
					f.t.Errorf("waited %v, want %v", waited, limit)
				}
				if a.Base.Token == 0 {
					f.t.Error("a miss without a lease has no version to compete by")
				}
			})
		})
	}
}

func TestLeaseThatRunsOutIsGrantedToAParkedRead(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		f.get(cache.GetRequest{})
		time.Sleep(25 * time.Second)
		start := time.Now()
		f.want(f.get(cache.GetRequest{}), cache.Miss, cache.Absent, true, "")
		if waited := time.Since(start); waited < 5*time.Second || waited > 5*time.Second+500*time.Millisecond {
			f.t.Errorf("granted after %v; the lease had 5s left", waited)
		}
	})
}

func TestReadThatWillNotRegenerateIsNeitherGrantedNorParked(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		f.want(f.get(cache.GetRequest{NoLease: true}), cache.Miss, cache.Absent, false, "")
		f.want(f.get(cache.GetRequest{}), cache.Miss, cache.Absent, true, "")
		start := time.Now()
		f.want(f.get(cache.GetRequest{NoLease: true}), cache.Miss, cache.Absent, false, "")
		if time.Since(start) != 0 {
			f.t.Error("it was parked")
		}
	})
}

func TestNobodyWaitsForADelayedRetry(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one", "products"))
		time.Sleep(61 * time.Second)
		failed := f.get(cache.GetRequest{})
		// The render failed, and Next.js wrote the old value again.
		if ok, err := f.Release(f.t.Context(), home, failed.Lease.Token, cache.ReleaseOptions{Keep: 30 * time.Second}); !ok || err != nil {
			f.t.Fatal(ok, err)
		}
		f.want(f.get(cache.GetRequest{}), cache.Stale, cache.Revalidate, false, "one")
		f.revalidate(tag.Revalidation{Tag: "products"})
		start := time.Now()
		f.want(f.get(cache.GetRequest{}), cache.Miss, cache.TagExpired, false, "")
		if waited := time.Since(start); waited != 0 {
			f.t.Errorf("waited %v for a render that nobody does", waited)
		}
	})
}

// fragile panics at its first read.
type fragile struct {
	cache.Store
	entered, goOn chan struct{}
	once          sync.Once
}

func (s *fragile) Read(ctx context.Context, k cache.Key, opt cache.ReadOptions) (cache.Reading, error) {
	s.once.Do(func() {
		close(s.entered)
		<-s.goOn
		panic("a bug")
	})
	return s.Store.Read(ctx, k, opt)
}

func TestPanicGivesTheTurnToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, true)
		s := &fragile{Store: f.store, entered: make(chan struct{}), goOn: make(chan struct{})}
		f.Cache = cache.New(cache.Config{
			Store: s, Log: f.store, Memory: f.store.Memory(), Embedded: true, Publisher: new(hub.Hub), Registerer: prometheus.NewRegistry(),
		})
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			f.get(cache.GetRequest{})
		}()
		<-s.entered
		next := make(chan cache.Answer, 1)
		go func() { next <- f.get(cache.GetRequest{}) }()
		synctest.Wait()
		close(s.goOn)
		if p := <-panicked; p == nil {
			t.Error("it did not panic")
		}
		f.want(<-next, cache.Miss, cache.Absent, true, "")
	})
}

func TestUncacheableKeyParksNobody(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		for range cache.UncacheableAfter {
			miss := f.get(cache.GetRequest{})
			f.want(miss, cache.Miss, cache.Absent, true, "")
			if _, err := f.Release(f.t.Context(), home, miss.Lease.Token, cache.ReleaseOptions{Completed: true}); err != nil {
				f.t.Fatal(err)
			}
		}
		begun := time.Now()
		for range 2 {
			f.want(f.get(cache.GetRequest{}), cache.Miss, cache.Uncacheable, false, "")
		}
		if waited := time.Since(begun); waited != 0 {
			f.t.Errorf("waited %v for a render whose result is not kept", waited)
		}
		f.set(f.get(cache.GetRequest{}), entry("kept after all"))
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "kept after all")
	})
}
