package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// whole is a daemon but for its listeners: a cache with its memory on a store.
type whole struct {
	*cache.Cache
	*testing.T
	store *daemon
	stop  context.CancelFunc
}

func startWhole(t *testing.T, url string) *whole {
	t.Helper()
	d := start(t, redisstore.Config{URL: url})
	memory, err := cache.NewMemory(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	c := cache.New(cache.Config{Store: d, Log: d, Memory: memory, Publisher: new(hub.Hub)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		memory.Close()
	})
	return &whole{Cache: c, T: t, store: d, stop: cancel}
}

// get looks, and takes no lease that it would not fill.
func (w *whole) get(name string) cache.Answer { return w.ask(name, true) }

func (w *whole) ask(name string, noLease bool) cache.Answer {
	w.Helper()
	k := key
	k.Name = name
	a, err := w.Get(w.Context(), cache.GetRequest{Key: k, NoLease: noLease})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// fill renders a page.
func (w *whole) fill(name, body string, tags ...string) {
	w.Helper()
	k := key
	k.Name = name
	a := w.ask(name, false)
	outcome, _, err := w.Set(w.Context(), cache.SetRequest{
		Entry: cache.Entry{Key: k, Tags: tags, Parts: [][]byte{[]byte(body)}, Lifetime: cache.Lifetime{Revalidate: time.Hour, Expire: time.Hour}},
		Base:  a.Base, Lease: a.Lease.Token, Durable: true,
	})
	if err != nil || outcome != cache.Accepted {
		w.Fatal(outcome, err)
	}
}

func TestRevalidationHoldsEverywhereWhenItReturns(t *testing.T) {
	url := redistest.Start(t).URL()
	fleet := []*whole{startWhole(t, url), startWhole(t, url), startWhole(t, url)}
	var took []time.Duration
	for round := range 100 {
		w := fleet[round%3]
		name := fmt.Sprint("/", round)
		w.fill(name, "old", "products", fmt.Sprint("t", round))
		for i, reader := range fleet {
			if a := reader.get(name); a.Status != cache.Hit {
				t.Fatalf("round %d: daemon %d answers %v (%v)", round, i, a.Status, a.Reason)
			}
		}
		begun := time.Now()
		r, err := fleet[(round+1)%3].Revalidate(t.Context(), "shop", []tag.Revalidation{{Tag: fmt.Sprint("t", round)}}, nil)
		if err != nil || !r.FleetWide {
			t.Fatalf("round %d: %+v, %v", round, r, err)
		}
		took = append(took, time.Since(begun))
		for i, reader := range fleet {
			if a := reader.get(name); a.Entry != nil {
				t.Fatalf("round %d: daemon %d answers %v (%v) with what was revalidated", round, i, a.Status, a.Reason)
			}
		}
	}
	slices.Sort(took)
	t.Logf("a revalidation was acknowledged by three daemons in %v (median), %v (p95)", took[50], took[95])
}

// A daemon that hangs or has stopped is waited for no longer than it, and so its clients, may vouch for what they hold.
func TestRevalidationWaitsForAHungDaemonOnlyWhileItVouches(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	rounds(t, func() (late string) {
		server := redistest.Start(t)
		a, b := startWhole(t, server.URL()), startWhole(t, server.URL())
		for _, w := range []*whole{a, b} {
			w.get("/warm")
		}
		b.stop() // its store lives on, and tells nobody of anything
		var until time.Time
		eventually(t, cachetest.Patience, "the epoch is older than anything that an epoch before could vouch for", func() bool {
			var err error
			until, err = b.store.Prove(t.Context(), "shop", tag.Position{})
			return err == nil && until.After(time.Now())
		})
		if r, err := a.Revalidate(t.Context(), "shop", []tag.Revalidation{{Tag: "t"}}, nil); err != nil || !r.FleetWide || time.Now().Before(until) {
			t.Errorf("returned %v before the other stops to vouch: %+v, %v", time.Until(until), r, err)
		}
		if took := time.Since(until); took > time.Second {
			late = fmt.Sprintf("returned %v after it", took)
		}
		if _, err := b.store.Prove(t.Context(), "shop", tag.Position{}); err != nil {
			t.Fatal(err)
		}
		b.store.stop() // its clients may serve what they were promised for as long as it would have been a member
		begun := time.Now()
		if r, err := a.Revalidate(t.Context(), "shop", []tag.Revalidation{{Tag: "t"}}, nil); err != nil || !r.FleetWide {
			t.Errorf("although the other has stopped: %+v, %v", r, err)
		}
		if took := time.Since(begun); took > 2*cache.Bound {
			late = fmt.Sprintf("took %v although the other has stopped", took)
		}
		return late
	})
}

// A log that is lost takes no entry with it if somebody knew all of it, and none is served if nobody did.
func TestLostLogIsGivenBackByWhoWasVouchedFor(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	for name, vouched := range map[string]bool{"in use": true, "idle": false} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			w := startWhole(t, server.URL())
			w.fill("/kept", "kept", "quiet")
			w.fill("/gone", "gone", "busy")
			if _, err := w.Revalidate(t.Context(), "shop", []tag.Revalidation{{Tag: "busy"}}, nil); err != nil {
				t.Fatal(err)
			}
			before, err := w.Position(t.Context(), "shop")
			if err != nil {
				t.Fatal(err)
			}
			if !vouched {
				w.stop() // nobody asks for it to be vouched for any more; its store lives on, and finds the loss
				eventually(t, cachetest.Patience, "nothing is vouched for", func() bool {
					until, err := w.Vouched(t.Context(), "shop")
					return err == nil && !until.After(time.Now())
				})
				server.CLI("DEL", logKey)
			} else {
				eventually(t, cachetest.Patience, "it is vouched for", func() bool {
					until, err := w.Vouch(t.Context(), "shop")
					return err == nil && time.Until(until) > cache.Bound/2
				})
				server.CLI("DEL", logKey)
			}
			eventually(t, cachetest.Patience, "another epoch", func() bool {
				p, err := w.Position(t.Context(), "shop")
				return err == nil && p.Epoch > before.Epoch
			})
			want := cache.Hit
			if !vouched {
				want = cache.Miss
			}
			if a := w.get("/kept"); a.Status != want {
				t.Errorf("what was not revalidated: %v (%v), want %v", a.Status, a.Reason, want)
			}
			if a := w.get("/gone"); a.Status != cache.Miss {
				t.Errorf("what was revalidated in the epoch before: %v (%v)", a.Status, a.Reason)
			}
		})
	}
}
