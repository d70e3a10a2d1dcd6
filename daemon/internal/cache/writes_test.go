package cache_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/memstore"
	"github.com/isrd/isrd/daemon/internal/tag"
)

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
