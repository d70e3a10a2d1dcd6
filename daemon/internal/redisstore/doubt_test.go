package redisstore_test

import (
	"fmt"
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
	rounds(t, func() string {
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
		moved := time.Now() // the doubt begins later, when somebody comes
		f.lag("another")
		comes := startWhole(t, server.URL())
		old := comes.get("/p")
		comes.fill("/new", "new", "t")
		meanwhile := comes.get("/new")
		until, err := comes.Vouch(t.Context(), "shop")
		vouched := until.After(time.Now())
		if took := time.Since(moved); took >= cache.Bound {
			return fmt.Sprintf("the answers came %v after the fail-over", took)
		}
		if old.Status != cache.Hit || old.Reason != cache.StoreUnavailable {
			t.Errorf("what may be old is answered with %v (%v)", old.Status, old.Reason)
		}
		if meanwhile.Status != cache.Hit || meanwhile.Reason != cache.StoreUnavailable {
			t.Errorf("what was rendered meanwhile: %v (%v)", meanwhile.Status, meanwhile.Reason)
		}
		if err != nil || vouched {
			t.Errorf("clients may serve by themselves what they hold: %v", err)
		}
		eventually(t, cachetest.Patience, "whoever knows more has had the time to come", func() bool {
			a := comes.get("/q")
			return a.Status == cache.Hit && a.Reason == cache.NoReason
		})
		return ""
	})
}

// An empty Redis lacks nothing, and neither does a log that was given back by who was vouched for.
func TestALogThatWasNotMovedIsNotDoubted(t *testing.T) {
	rounds(t, func() string {
		server := redistest.Start(t)
		w := startWhole(t, server.URL())
		w.fill("/p", "kept", "t")
		if a := w.get("/p"); a.Status != cache.Hit || a.Reason != cache.NoReason {
			t.Errorf("on an empty Redis: %v (%v)", a.Status, a.Reason)
		}
		f := &fleet{T: t, server: server}
		until := f.vouch(w.store)
		before, err := w.Position(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		server.CLI("DEL", logKey, eventsKey)
		eventually(t, cachetest.Patience, "another epoch", func() bool {
			p, err := w.Position(t.Context(), "shop")
			return err == nil && p.Epoch > before.Epoch
		})
		late := time.Now().After(until)
		if a := startWhole(t, server.URL()).get("/p"); a.Status != cache.Hit || a.Reason != cache.NoReason {
			if late {
				return "it noticed when it was not vouched for any more"
			}
			t.Errorf("of a log that was given back: %v (%v)", a.Status, a.Reason)
		}
		return ""
	})
}
