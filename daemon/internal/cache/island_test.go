package cache_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// deaf is a log that cannot be followed at first.
type deaf struct {
	cache.Log
	delay time.Duration

	mu       sync.Mutex
	follower cache.Follower
	calls    int
}

func (d *deaf) Follow(ctx context.Context, _ string, f cache.Follower) error {
	d.mu.Lock()
	d.follower = f
	d.calls++
	d.mu.Unlock()
	select {
	case <-time.After(d.delay):
	case <-ctx.Done():
	}
	return cache.ErrUnavailable
}

// hear is what the store does when it has succeeded after all.
func (d *deaf) hear(ctx context.Context, app string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Log.Follow(ctx, app, d.follower)
}

// island is a cache whose store is away from the start.
func island(t *testing.T) (*fixture, *deaf) {
	f := newFixture(t, false)
	memory, err := cache.NewMemory(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	log := &deaf{Log: f.store, delay: 150 * time.Millisecond}
	f.flaky.breakWith(cache.ErrUnavailable)
	f.Cache = cache.New(cache.Config{Store: f.flaky, Log: log, Memory: memory, Publisher: new(hub.Hub), Registerer: prometheus.NewRegistry()})
	return f, log
}

func TestWhatBeganWithoutTheLogIsNotServedWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := island(t)
		begin := f.position() // what the session's welcome says, and a request begins with
		if begin.Epoch != 0 {
			t.Fatalf("an island is at %v", begin)
		}
		f.write(cache.SetRequest{Entry: entry("first", "t"), Position: begin})
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "first")
		f.flaky.breakWith(nil)
		if err := log.hear(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		f.revalidate(tag.Revalidation{Tag: "t"})
		if got := f.write(cache.SetRequest{Entry: entry("rendered before the revalidation", "t"), Position: begin}); got != cache.RefusedInvalidated {
			t.Errorf("its late write: %v", got)
		}
		if a := f.get(cache.GetRequest{}); a.Status != cache.Miss {
			t.Errorf("got %v with %q", a.Status, a.Entry.Parts[0])
		}
	})
}

func TestLogThatDoesNotAnswerIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, log := island(t)
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				k := home
				k.Name = fmt.Sprint("/", i)
				f.want(f.get(cache.GetRequest{Key: k}), cache.Miss, cache.StoreUnavailable, false, "")
			})
		}
		all.Wait()
		if d := time.Since(begin); d > log.delay || log.calls != 1 {
			t.Errorf("20 reads took %v and %d questions", d, log.calls)
		}
	})
}
