package redisstore_test

import (
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// A replica becomes the master that lacks an acknowledged event, and the daemons that know it have not come yet. Whoever
// asks meanwhile is told that the answer may be old; leases are granted, and what is rendered is kept.
func TestAfterAFailOverAnswersAreFlaggedWhileEventsMayBeMissing(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	server := redistest.Start(t)
	f := &fleet{T: t, server: server}
	knows := startWhole(t, server.URL())
	knows.fill("/p", "old", "t")
	knows.fill("/q", "old", "q")
	f.save()
	if r, err := knows.Revalidate(t.Context(), "shop", []tag.Revalidation{{Tag: "t"}}, nil); err != nil || !r.FleetWide {
		t.Fatalf("%+v, %v", r, err)
	}
	knows.stop()
	knows.store.stop()
	f.lag("another")
	comes := startWhole(t, server.URL())
	if a := comes.get("/p"); a.Status != cache.Hit || a.Reason != cache.StoreUnavailable {
		t.Errorf("what may be old is answered with %v (%v)", a.Status, a.Reason)
	}
	comes.fill("/new", "new", "t")
	if a := comes.get("/new"); a.Status != cache.Hit || a.Reason != cache.StoreUnavailable {
		t.Errorf("what was rendered meanwhile: %v (%v)", a.Status, a.Reason)
	}
	if until, err := comes.Vouch(t.Context(), "shop"); err != nil || until.After(time.Now()) {
		t.Errorf("clients may serve by themselves what they hold: %v", err)
	}
	eventually(t, cachetest.Patience, "whoever knows more has had the time to come", func() bool {
		a := comes.get("/q")
		return a.Status == cache.Hit && a.Reason == cache.NoReason
	})
}

// An empty Redis lacks nothing, and neither does a log that was given back by who was vouched for.
func TestALogThatWasNotMovedIsNotDoubted(t *testing.T) {
	server := redistest.Start(t)
	w := startWhole(t, server.URL())
	w.fill("/p", "kept", "t")
	if a := w.get("/p"); a.Status != cache.Hit || a.Reason != cache.NoReason {
		t.Errorf("on an empty Redis: %v (%v)", a.Status, a.Reason)
	}
	f := &fleet{T: t, server: server}
	f.vouch(w.store)
	before, err := w.Position(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	server.CLI("DEL", logKey, eventsKey)
	eventually(t, cachetest.Patience, "another epoch", func() bool {
		p, err := w.Position(t.Context(), "shop")
		return err == nil && p.Epoch > before.Epoch
	})
	if a := startWhole(t, server.URL()).get("/p"); a.Status != cache.Hit || a.Reason != cache.NoReason {
		t.Errorf("of a log that was given back: %v (%v)", a.Status, a.Reason)
	}
}
