package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/memstore"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// fixture is a cache on the embedded store, with a store in between that a test can break.
type fixture struct {
	*cache.Cache
	t     testing.TB
	store *memstore.Store
	flaky *flaky
	log   *flakyLog
	hub   *hub.Hub
	reg   *prometheus.Registry
}

// flaky passes calls on to a store unless a test says otherwise.
type flaky struct {
	cache.Store
	mu    sync.Mutex
	fail  error
	reads int
	write func(*cache.Entry) (bool, error)
}

func (f *flaky) Read(ctx context.Context, k cache.Key, opt cache.ReadOptions) (cache.Reading, error) {
	f.mu.Lock()
	f.reads++
	err := f.fail
	f.mu.Unlock()
	if err != nil {
		return cache.Reading{}, err
	}
	return f.Store.Read(ctx, k, opt)
}

func (f *flaky) Write(ctx context.Context, e *cache.Entry, opt cache.WriteOptions) (bool, error) {
	f.mu.Lock()
	hook, err := f.write, f.fail
	f.mu.Unlock()
	switch {
	case err != nil:
		return false, err
	case hook != nil:
		return hook(e)
	default:
		return f.Store.Write(ctx, e, opt)
	}
}

func (f *flaky) breakWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// newFixture gives a cache whose store is its memory (embedded), or whose memory is an L1 before the store.
func newFixture(t testing.TB, embedded bool) *fixture {
	t.Helper()
	store, err := memstore.New(memstore.Config{MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	memory := store.Memory()
	if !embedded {
		if memory, err = cache.NewMemory(64 << 20); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(memory.Close)
	}
	f := &fixture{
		t: t, store: store, flaky: &flaky{Store: store}, log: &flakyLog{Log: store}, hub: new(hub.Hub),
		reg: prometheus.NewPedanticRegistry(),
	}
	f.Cache = cache.New(cache.Config{
		Store: f.flaky, Log: f.log, Memory: memory, Embedded: embedded, Publisher: f.hub,
		MaxEntryBytes: 1 << 20, Registerer: f.reg,
	})
	return f
}

var home = cache.Key{App: "shop", Build: "b1", Space: cache.Route, Name: "/index"}

func (f *fixture) get(r cache.GetRequest) cache.Answer {
	f.t.Helper()
	if r.Key.Name == "" {
		r.Key = home
	}
	a, err := f.Get(f.t.Context(), r)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func entry(body string, tags ...string) cache.Entry {
	return cache.Entry{
		Key: home, Tags: tags, Parts: [][]byte{[]byte(body)},
		Lifetime: cache.Lifetime{Revalidate: time.Minute, Expire: time.Hour},
	}
}

func (f *fixture) set(a cache.Answer, e cache.Entry) cache.Outcome {
	f.t.Helper()
	outcome, _, err := f.Set(f.t.Context(), cache.SetRequest{Entry: e, Base: a.Base, Lease: a.Lease.Token})
	if err != nil {
		f.t.Fatal(err)
	}
	return outcome
}

func (f *fixture) revalidate(rs ...tag.Revalidation) {
	f.t.Helper()
	if _, err := f.Revalidate(f.t.Context(), "shop", rs, nil); err != nil {
		f.t.Fatal(err)
	}
}

// want compares what matters of an answer.
func (f *fixture) want(a cache.Answer, status cache.Status, reason cache.Reason, lease bool, body string) {
	f.t.Helper()
	got := ""
	if a.Entry != nil {
		got = string(a.Entry.Parts[0])
	}
	if a.Status != status || a.Reason != reason || (a.Lease.Token != 0) != lease || got != body {
		f.t.Errorf("got %v (%v), lease %v, body %q; want %v (%v), lease %v, body %q",
			a.Status, a.Reason, a.Lease.Token != 0, got, status, reason, lease, body)
	}
}

// bubble runs a test on a virtual clock.
func bubble(t *testing.T, embedded bool, test func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newFixture(t, embedded)) })
}

func TestLifeOfAnEntry(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		miss := f.get(cache.GetRequest{})
		f.want(miss, cache.Miss, cache.Absent, true, "")
		if got := f.set(miss, entry("one")); got != cache.Accepted {
			f.t.Fatalf("set: %v", got)
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

func TestTooLargeEntryIsRefusedAndFreesItsLease(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		a := f.get(cache.GetRequest{})
		e := entry("")
		e.Parts = [][]byte{make([]byte, 2<<20)}
		if got := f.set(a, e); got != cache.RefusedTooLarge {
			f.t.Errorf("got %v", got)
		}
		start := time.Now()
		f.want(f.get(cache.GetRequest{}), cache.Miss, cache.Absent, true, "")
		if time.Since(start) != 0 {
			f.t.Error("its lease was still held")
		}
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

func TestWriteIsAcknowledgedBeforeTheStoreHasIt(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		ctx, stop := context.WithCancel(f.t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		gate, began := make(chan struct{}), make(chan struct{}, 1)
		f.flaky.write = func(e *cache.Entry) (bool, error) {
			began <- struct{}{}
			<-gate
			return f.store.Write(f.t.Context(), e, cache.WriteOptions{})
		}
		if got := f.set(f.get(cache.GetRequest{}), entry("one")); got != cache.Accepted {
			f.t.Fatalf("set: %v", got)
		}
		<-began
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		stop() // an acknowledged write is finished although the daemon stops
		synctest.Wait()
		close(gate)
		if err := <-done; err != nil {
			f.t.Error(err)
		}
		r, err := f.store.Read(f.t.Context(), home, cache.ReadOptions{})
		if err != nil || r.Entry == nil {
			f.t.Fatalf("the store has %v, %v", r.Entry, err)
		}
		if diff := cmp.Diff([][]byte{[]byte("one")}, r.Entry.Parts); diff != "" {
			f.t.Error(diff)
		}
	})
}

func TestOwnCopyIsDroppedIfTheStoreRefusesIt(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		mine := f.get(cache.GetRequest{})
		// Another daemon, whose lease is newer, writes first.
		theirs := entry("theirs")
		theirs.Version = cache.Version{Epoch: mine.Base.Epoch, Seq: mine.Base.Seq, Token: mine.Base.Token + 1}
		if ok, err := f.store.Write(f.t.Context(), &theirs, cache.WriteOptions{}); !ok || err != nil {
			f.t.Fatal(ok, err)
		}
		outcome, _, err := f.Set(f.t.Context(), cache.SetRequest{Entry: entry("mine"), Base: mine.Base, Lease: mine.Lease.Token, Durable: true})
		if outcome != cache.RefusedOlder || err != nil {
			f.t.Errorf("durable set: %v, %v", outcome, err)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "theirs")
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
