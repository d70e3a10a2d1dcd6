package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
	"github.com/isrd/isrd/daemon/internal/tag"
)

const opTimeout = 150 * time.Millisecond

// slack is what a busy machine may add to a bound. What is not bounded by OpTimeout is so by something longer: socketTimeout,
// which is 5 s, or DialTimeout, which is set to longDial where it matters.
const (
	slack    = 2 * time.Second
	longDial = 10 * time.Second
)

func entryOf(k cache.Key, token uint64) *cache.Entry {
	return &cache.Entry{
		Key: k, Version: cache.Version{Epoch: 1, Token: token}, Tags: []string{"t"}, Parts: [][]byte{[]byte("body")},
		Lifetime: cache.Lifetime{Revalidate: time.Minute, Expire: time.Hour},
	}
}

// operations are all that a daemon asks of the store.
var operations = map[string]func(ctx context.Context, d *daemon) error{
	"read": func(ctx context.Context, d *daemon) error {
		_, err := d.Read(ctx, key, cache.ReadOptions{Lease: true, TTL: time.Minute})
		return err
	},
	"write": func(ctx context.Context, d *daemon) error {
		_, err := d.Write(ctx, entryOf(key, 1), cache.WriteOptions{})
		return err
	},
	"release": func(ctx context.Context, d *daemon) error {
		_, err := d.Release(ctx, key, 1, cache.ReleaseOptions{})
		return err
	},
	"append": func(ctx context.Context, d *daemon) error {
		_, err := d.Append(ctx, "shop", []tag.Revalidation{{Tag: "t"}})
		return err
	},
	"follow": func(ctx context.Context, d *daemon) error {
		return d.Follow(ctx, "another", sharedFollower)
	},
	"ping": func(ctx context.Context, d *daemon) error { return d.Ping(ctx) },
}

// sharedFollower is the same one each time, as Follow wants it.
var sharedFollower = new(deaf)

type deaf struct{ _ int }

func (*deaf) Event(tag.Event)                 {}
func (*deaf) Load(tag.Snapshot, string)       {}
func (*deaf) Snapshot() tag.Snapshot          { return tag.Snapshot{} }
func (*deaf) Written(cache.ID, cache.Version) {}
func (*deaf) Released(cache.ID)               {}

func eventually(t testing.TB, within time.Duration, what string, look func() bool) {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		<-tick.C
		if time.Since(begun) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func up(t testing.TB, d *daemon) float64 {
	t.Helper()
	return gauge(t, d, "isrd_redisstore_up")
}

func gauge(t testing.TB, d *daemon, name string) float64 {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no metric " + name)
	return 0
}

func TestRedisHangs(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL(), OpTimeout: opTimeout, DialTimeout: longDial})
	r := cachetest.NewRecorder(t)
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
	p := appended(t, d)
	server.Pause()

	// Many callers at once: no queue may add up their time-outs, which of 20 would be 3 s.
	var wg sync.WaitGroup
	for name, op := range operations {
		for range 20 {
			wg.Go(func() {
				begun := time.Now()
				if err := op(t.Context(), d); !errors.Is(err, cache.ErrUnavailable) {
					t.Errorf("%s while Redis hangs: %v", name, err)
				}
				if took := time.Since(begun); took > opTimeout+slack {
					t.Errorf("%s took %v, its bound is %v", name, took, opTimeout)
				}
			})
		}
	}
	wg.Wait()

	// By now it is known, and asking costs nothing.
	if got := up(t, d); got != 0 {
		t.Errorf("isrd_redisstore_up is %v", got)
	}
	for name, op := range operations {
		if name == "ping" {
			continue
		}
		fastest := time.Hour // one of five is not held up by the machine
		for range 5 {
			begun := time.Now()
			if err := op(t.Context(), d); !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
			fastest = min(fastest, time.Since(begun))
		}
		if fastest >= opTimeout {
			t.Errorf("%s took %v although Redis is known to hang", name, fastest)
		}
	}

	server.Resume()
	begun := time.Now()
	for name, op := range operations {
		eventually(t, 2*time.Second+slack-time.Since(begun), name+" works again", func() bool { return op(t.Context(), d) == nil })
	}
	q := appended(t, d)
	if q.Epoch != p.Epoch {
		t.Fatalf("position %v after %v", q, p)
	}
	r.AwaitPosition(t, q)
}

// appended is where an event is that was appended, at the second try if the machine was busy at the first.
func appended(t *testing.T, d *daemon, rs ...tag.Revalidation) (p tag.Position) {
	t.Helper()
	eventually(t, cachetest.Patience, "an append", func() bool {
		var err error
		p, err = d.Append(t.Context(), "shop", rs)
		return err == nil
	})
	return p
}

// read reads a key, at the second try if the machine was busy at the first.
func read(t *testing.T, d *daemon, k cache.Key) (r cache.Reading) {
	t.Helper()
	eventually(t, cachetest.Patience, "a read of "+k.Name, func() bool {
		var err error
		r, err = d.Read(t.Context(), k, cache.ReadOptions{})
		return err == nil
	})
	return r
}

func TestRedisHangsAtStart(t *testing.T) {
	server := redistest.Start(t)
	server.Pause()
	d := start(t, redisstore.Config{URL: server.UnixURL(), OpTimeout: opTimeout, DialTimeout: longDial})
	r := cachetest.NewRecorder(t)
	begun := time.Now()
	if err := d.Follow(t.Context(), "shop", r); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("follow: %v", err)
	}
	if took := time.Since(begun); took > opTimeout+slack {
		t.Errorf("follow took %v", took)
	}
	server.Resume()
	// Nobody asks again; it is followed all the same.
	r.Await(t, "the first load", func(h cachetest.Heard) bool { return len(h.Loads) == 1 })
	if err := d.Follow(t.Context(), "shop", r); err != nil {
		t.Error(err)
	}
	if err := d.Follow(t.Context(), "shop", cachetest.NewRecorder(t)); err == nil || errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("another follower of the app: %v", err)
	}
}

func TestRedisIsKilledAndStartsAgain(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	server := redistest.Start(t, redistest.Persistent())
	d := start(t, redisstore.Config{URL: server.URL(), OpTimeout: opTimeout, DialTimeout: longDial})
	other := start(t, redisstore.Config{URL: server.URL()})
	r := cachetest.NewRecorder(t)
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
	if stored, err := other.Write(t.Context(), entryOf(key, 1), cache.WriteOptions{}); err != nil || !stored {
		t.Fatal(stored, err)
	}
	server.Kill()
	for name, op := range operations {
		begun := time.Now()
		if err := op(t.Context(), d); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s without Redis: %v", name, err)
		}
		if took := time.Since(begun); took > opTimeout+slack {
			t.Errorf("%s took %v", name, took)
		}
	}
	eventually(t, cachetest.Patience, "it is known", func() bool { return up(t, d) == 0 })
	server.Restart()
	begun := time.Now()
	for name, op := range operations {
		eventually(t, 2500*time.Millisecond+slack-time.Since(begun), name+" works again", func() bool { return op(t.Context(), d) == nil })
	}
	if got := read(t, d, key); got.Entry == nil || got.Entry.Version.Token != 1 {
		t.Errorf("the entry that Redis kept: %+v", got)
	}
	p := appended(t, other, tag.Revalidation{Tag: "after"})
	if h := r.AwaitPosition(t, p); h.Snapshot.Records["after"].Expired != p.Seq {
		t.Errorf("heard %+v", h.Snapshot)
	}
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	pair := redistest.StartSentinel(t)
	d := start(t, redisstore.Config{URL: pair.URL(), OpTimeout: opTimeout})
	r := cachetest.NewRecorder(t)
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
	p := appended(t, d, tag.Revalidation{Tag: "before"})
	eventually(t, cachetest.Patience, "a write", func() bool {
		_, err := d.Write(t.Context(), entryOf(key, 1), cache.WriteOptions{})
		return err == nil
	})
	eventually(t, cachetest.Patience, "the replica has it all", func() bool {
		return pair.Replica.Info("replication", "slave_repl_offset") == pair.Master.Info("replication", "master_repl_offset")
	})
	pair.FailOver()
	q := appended(t, d, tag.Revalidation{Tag: "after"})
	if q.Epoch <= p.Epoch || q.Seq <= p.Seq {
		t.Errorf("at %v after %v: another server, another epoch", q, p)
	}
	if h := r.AwaitPosition(t, q); h.Snapshot.Records["before"].Expired != p.Seq || h.Snapshot.Past[p.Epoch] != p.Seq {
		t.Errorf("reasons %q, records %v, epochs before %v: the replica had everything", h.Reasons, h.Snapshot.Records, h.Snapshot.Past)
	}
	if got := read(t, d, key); got.Entry == nil {
		t.Errorf("the entry that was replicated: %+v", got)
	}
}

// One shard that hangs is no reason to go without the others.
func TestClusterWithAShardThatHangs(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	cluster := redistest.StartCluster(t)
	d := start(t, redisstore.Config{URL: cluster.URL(), OpTimeout: opTimeout, DialTimeout: longDial})
	const n = 12
	var healthy, hung []cache.Key
	for i := 0; min(len(healthy), len(hung)) < n; i++ {
		k := key
		k.Name = fmt.Sprint("/p", i)
		if cluster.Of(redisKey+string(k.ID())+"}") == cluster.Nodes[1] {
			hung = append(hung, k)
		} else {
			healthy = append(healthy, k)
		}
	}
	healthy, hung = healthy[:n], hung[:n]
	for _, k := range slices.Concat(healthy, hung) {
		eventually(t, cachetest.Patience, "a write", func() bool {
			_, err := d.Write(t.Context(), entryOf(k, 1), cache.WriteOptions{})
			return err == nil
		})
	}
	readable := func(k cache.Key) bool {
		begun := time.Now()
		r, err := d.Read(t.Context(), k, cache.ReadOptions{})
		if took := time.Since(begun); took > opTimeout+slack {
			t.Errorf("a read took %v", took)
		}
		return err == nil && r.Entry != nil
	}
	cluster.Nodes[1].Pause()
	// One after the other, so that never so many fail in succession that nobody is let through.
	there := 0
	for i := range n {
		if readable(hung[i]) {
			t.Errorf("%s is readable although its shard hangs", hung[i].Name)
		}
		if readable(healthy[i]) {
			there++
		}
	}
	if there < n-3 { // the machine may have been busy at a few
		t.Errorf("%d of %d keys of the other shards are readable while one hangs", there, n)
	}
	// After many failures in succession nobody is let through, until one shard answers.
	for _, k := range hung[:5] {
		readable(k)
	}
	for _, k := range healthy {
		eventually(t, cachetest.Patience, k.Name+" is readable while another shard hangs", func() bool { return readable(k) })
	}
	cluster.Nodes[1].Resume()
	for _, k := range slices.Concat(healthy, hung) {
		eventually(t, cachetest.Patience, k.Name+" is readable again", func() bool { return readable(k) })
	}
}

// What fails because its caller had no time says nothing of Redis.
func TestHurriedCallersDoNotTripTheBreaker(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL(), OpTimeout: patient})
	eventually(t, cachetest.Patience, "redis answers", func() bool { return up(t, d) == 1 })
	server.Pause()
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := d.Read(ctx, key, cache.ReadOptions{}); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("read: %v", err)
		}
		cancel()
	}
	if got := up(t, d); got != 1 {
		t.Error("ten impatient callers, and Redis counts as gone")
	}
	server.Resume()
	if _, err := d.Read(t.Context(), key, cache.ReadOptions{}); err != nil {
		t.Error(err)
	}
}

// An error that Redis answers with is no reason to stop asking.
func TestRedisAnswersWithErrors(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL()})
	server.CLI("CONFIG", "SET", "maxmemory", "1")
	for range 5 {
		if _, err := d.Write(t.Context(), entryOf(key, 1), cache.WriteOptions{}); !errors.Is(err, cache.ErrUnavailable) {
			t.Fatalf("write without memory: %v", err)
		}
	}
	server.CLI("CONFIG", "SET", "maxmemory", "0")
	if stored, err := d.Write(t.Context(), entryOf(key, 1), cache.WriteOptions{}); err != nil || !stored {
		t.Errorf("write with memory again: %v, %v", stored, err)
	}
}

func TestCloseWhileRedisHangs(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL(), OpTimeout: opTimeout})
	r := cachetest.NewRecorder(t)
	eventually(t, cachetest.Patience, "the log is followed", func() bool { return d.Follow(t.Context(), "shop", r) == nil })
	server.Pause()
	begun := time.Now()
	d.stop()
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("stopping took %v", took)
	}
	server.Resume()
	if err := d.Ping(t.Context()); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("ping after Close: %v", err)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL()})
	for name, op := range operations {
		if err := op(t.Context(), d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if problems, err := testutil.GatherAndLint(d.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
