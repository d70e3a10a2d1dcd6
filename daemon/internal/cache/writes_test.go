package cache_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/memstore"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// position is where the log of the fixture's app stands.
func (f *fixture) position() tag.Position {
	f.t.Helper()
	p, err := f.Position(f.t.Context(), "shop")
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) write(r cache.SetRequest) cache.Outcome {
	f.t.Helper()
	outcome, _, err := f.Set(f.t.Context(), r)
	if err != nil {
		f.t.Fatal(err)
	}
	return outcome
}

func TestRefusedWriteLeavesWhatIsThere(t *testing.T) {
	for _, embedded := range []bool{true, false} {
		bubble(t, embedded, func(f *fixture) {
			miss := f.get(cache.GetRequest{})
			f.set(miss, entry("one"))
			if got := f.set(miss, entry("one")); got != cache.RefusedOlder {
				f.t.Errorf("the same write again: %v", got)
			}
			f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
			// Two processes whose gets were not answered write in the same millisecond.
			for range 2 {
				f.write(cache.SetRequest{Entry: entry("two"), Position: f.position()})
			}
			if a := f.get(cache.GetRequest{}); a.Status != cache.Hit {
				f.t.Errorf("after two writes of one version: %v (%v)", a.Status, a.Reason)
			}
		})
	}
	bubble(t, true, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("live"))
		time.Sleep(time.Second)
		if got := f.write(cache.SetRequest{Entry: entry("seed"), Position: f.position(), OnlyIfAbsent: true}); got != cache.RefusedOlder {
			f.t.Errorf("a seed where there is an entry: %v", got)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "live")
	})
}

// TestBuildOutput: what a build has rendered fills an absent key, with its own age, unless it was revalidated since.
func TestBuildOutput(t *testing.T) {
	for _, embedded := range []bool{true, false} {
		bubble(t, embedded, func(f *fixture) {
			built := f.store.Now() - (10 * time.Minute).Milliseconds()
			seed := func(miss cache.Answer, body string) cache.Outcome {
				e := entry(body, "t")
				e.Lifetime = cache.Lifetime{Revalidate: 30 * time.Minute, Expire: cache.Unlimited}
				return f.write(cache.SetRequest{Entry: e, Base: miss.Base, Lease: miss.Lease.Token, OnlyIfAbsent: true, BuiltAt: built})
			}
			miss := f.get(cache.GetRequest{})
			f.want(miss, cache.Miss, cache.Absent, true, "")
			if got := seed(miss, "built"); got != cache.Accepted {
				f.t.Fatalf("build output is %v", got)
			}
			hit := f.get(cache.GetRequest{})
			f.want(hit, cache.Hit, cache.NoReason, false, "built")
			if hit.Age < 10*time.Minute {
				f.t.Errorf("it is %v old", hit.Age)
			}
			time.Sleep(20 * time.Minute)
			f.want(f.get(cache.GetRequest{}), cache.Stale, cache.Revalidate, true, "built")
		})
		bubble(t, embedded, func(f *fixture) {
			f.revalidate(tag.Revalidation{Tag: "t"})
			now := f.store.Now()
			miss := f.get(cache.GetRequest{})
			request := cache.SetRequest{Entry: entry("old", "t"), Base: miss.Base, Lease: miss.Lease.Token, OnlyIfAbsent: true, BuiltAt: now}
			if got := f.write(request); got != cache.RefusedInvalidated {
				f.t.Fatalf("what was built within a minute of its revalidation is %v", got)
			}
			f.want(f.get(cache.GetRequest{NoLease: true}), cache.Miss, cache.Absent, false, "")
			f.set(miss, entry("new", "t")) // the lease was left to the caller
			f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "new")
		})
		bubble(t, embedded, func(f *fixture) {
			f.revalidate(tag.Revalidation{Tag: "t"})
			time.Sleep(2 * time.Minute)
			miss := f.get(cache.GetRequest{})
			request := cache.SetRequest{Entry: entry("later", "t"), Base: miss.Base, OnlyIfAbsent: true, BuiltAt: f.store.Now()}
			if got := f.write(request); got != cache.Accepted {
				f.t.Fatalf("what was built after its revalidation is %v", got)
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

func TestDescriptionIsBoundedToo(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		e := entry("x")
		e.Meta = make([]byte, 200<<10)
		a := f.get(cache.GetRequest{})
		if got := f.set(a, e); got != cache.RefusedTooLarge {
			f.t.Errorf("headers of 200 KiB: %v", got)
		}
		if got := f.set(f.get(cache.GetRequest{}), entry("x", strings.Repeat("t", 200<<10))); got != cache.RefusedTooLarge {
			f.t.Errorf("a tag of 200 KiB: %v", got)
		}
	})
}

func TestFullQueueKeepsTheEntryHereAndFreesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := memstore.New(memstore.Config{})
		if err != nil {
			t.Fatal(err)
		}
		memory, err := cache.NewMemory(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{t: t, Cache: cache.New(cache.Config{
			Store: store, Log: store, Memory: memory, Publisher: new(hub.Hub), QueueBytes: 1, Registerer: prometheus.NewRegistry(),
		})}
		if got := f.set(f.get(cache.GetRequest{}), entry("one")); got != cache.LocalOnly {
			t.Errorf("set: %v", got)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		if r, err := store.Read(t.Context(), home, cache.ReadOptions{}); err != nil || r.Held {
			t.Errorf("the lease is held for %v, %v", r.Left, err)
		}
	})
}

func TestAcknowledgedWriteOutlivesAnOutageOfTheStore(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		ctx, stop := context.WithCancel(f.t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		miss := f.get(cache.GetRequest{})
		f.flaky.breakWith(cache.ErrUnavailable)
		if got := f.set(miss, entry("one")); got != cache.Accepted {
			f.t.Fatalf("set: %v", got)
		}
		time.Sleep(5 * time.Second)
		f.flaky.breakWith(nil)
		time.Sleep(time.Second)
		if r, err := f.store.Read(f.t.Context(), home, cache.ReadOptions{}); err != nil || r.Entry == nil || r.Held {
			f.t.Errorf("the store has %v, lease held %v, %v", r.Entry, r.Held, err)
		}
		stop()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

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
