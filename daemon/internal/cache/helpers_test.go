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

func entry(body string, tags ...string) cache.Entry {
	return cache.Entry{
		Key: home, Tags: tags, Parts: [][]byte{[]byte(body)},
		Lifetime: cache.Lifetime{Revalidate: time.Minute, Expire: time.Hour},
	}
}

// bubble runs a test on a virtual clock.
func bubble(t *testing.T, embedded bool, test func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newFixture(t, embedded)) })
}

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

// flakyLog passes calls on to a log unless a test says otherwise.
type flakyLog struct {
	cache.Log
	mu           sync.Mutex
	fail         error
	valid        time.Duration // of a proof; 0: cache.Bound
	proofs       int
	hold         chan struct{} // a proof waits for it
	told         []tag.Position
	acknowledged []tag.Position
	await        func(context.Context, tag.Position) error
	appended     [][]tag.Revalidation
	lose         int          // so many events are in the log for nobody to see: the log is lost right after
	anew         tag.Position // where the log is that began then
	follower     cache.Follower
}

func (l *flakyLog) set(change func(*flakyLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *flakyLog) Follow(ctx context.Context, app string, f cache.Follower) error {
	l.set(func(l *flakyLog) { l.follower = f })
	return l.Log.Follow(ctx, app, f)
}

func (l *flakyLog) Append(ctx context.Context, app string, rs []tag.Revalidation) (tag.Position, error) {
	l.mu.Lock()
	err, lose, follower := l.fail, l.lose > 0, l.follower
	if lose {
		l.lose--
	}
	l.appended = append(l.appended, rs)
	l.mu.Unlock()
	switch {
	case err != nil:
		return tag.Position{}, err
	case lose:
		was := follower.Snapshot().Position
		l.set(func(l *flakyLog) { l.anew = tag.Position{Epoch: was.Epoch + 1, Seq: was.Seq + 10} })
		follower.Load(tag.Snapshot{Position: l.anew}, "the log was lost")
		return tag.Position{Epoch: was.Epoch, Seq: was.Seq + 1}, nil
	case l.anew.Epoch != 0:
		l.set(func(l *flakyLog) { l.anew.Seq++ })
		follower.Event(tag.Event{Position: l.anew})
		return l.anew, nil
	default:
		return l.Log.Append(ctx, app, rs)
	}
}

func (l *flakyLog) Prove(ctx context.Context, app string, told tag.Position) (time.Time, error) {
	begun := time.Now()
	l.mu.Lock()
	l.proofs++
	l.told = append(l.told, told)
	err, valid, hold := l.fail, l.valid, l.hold
	l.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
	if err != nil {
		return time.Time{}, err
	}
	until, err := l.Log.Prove(ctx, app, told)
	if valid != 0 {
		until = begun.Add(valid)
	}
	return until, err
}

func (l *flakyLog) Acknowledge(_ context.Context, _ string, p tag.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged = append(l.acknowledged, p)
	return l.fail
}

func (l *flakyLog) Await(ctx context.Context, app string, p tag.Position) error {
	l.mu.Lock()
	await := l.await
	l.mu.Unlock()
	if await != nil {
		return await(ctx, p)
	}
	return l.Log.Await(ctx, app, p)
}

// run lets the cache work in the background until the bubble's test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

// away makes the store fail as Redis does when it is gone.
func (f *fixture) away(err error) {
	f.flaky.breakWith(err)
	f.log.set(func(l *flakyLog) { l.fail = err })
}
