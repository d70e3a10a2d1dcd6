package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// What was appended to a log that lost it right after is still owed.
func TestWhatIsOwedIsAppendedUntilTheLogHasIt(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "products"})
		f.log.set(func(l *flakyLog) { l.appended, l.lose = nil, 2 })
		f.away(nil)
		f.get(cache.GetRequest{})
		f.log.mu.Lock()
		defer f.log.mu.Unlock()
		if n := len(f.log.appended); n != 3 {
			f.t.Errorf("appended %d times; it was lost twice", n)
		}
	})
}

// The time for an acknowledgement ends in the very moment in which the others have answered, and the log is lost.
func TestEventThatIsLostAtTheLastMomentIsNotAcknowledged(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		f.log.set(func(l *flakyLog) {
			l.await = func(ctx context.Context, _ tag.Position) error {
				<-ctx.Done()
				was := l.follower.Snapshot().Position
				l.follower.Load(tag.Snapshot{Position: tag.Position{Epoch: was.Epoch + 1, Seq: was.Seq + 10}}, "the log was lost")
				return nil
			}
		})
		r, err := f.Revalidate(f.t.Context(), "shop", []tag.Revalidation{{Tag: "products"}}, nil)
		if err != nil || r.FleetWide {
			f.t.Errorf("got %+v, %v", r, err)
		}
	})
}

// A log that may lack something is asked and judged by as ever, leases included; what is served says that it may be old.
func TestAnswersByALogThatMayLackEventsAreFlagged(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one"))
		time.Sleep(cache.Bound)
		f.log.set(func(l *flakyLog) { l.fail = cache.ErrDoubted })
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.StoreUnavailable, false, "one")
		if until, err := f.Vouched(f.t.Context(), "shop"); err != nil || until.After(time.Now()) {
			f.t.Errorf("clients may rely on it until %v: %v", until, err)
		}
		absent := entry("two")
		absent.Key.Name = "/two"
		a := f.get(cache.GetRequest{Key: absent.Key})
		f.want(a, cache.Miss, cache.Absent, true, "")
		f.set(a, absent)
		f.log.set(func(l *flakyLog) { l.fail = nil })
		f.want(f.get(cache.GetRequest{Key: absent.Key}), cache.Hit, cache.NoReason, false, "two")
	})
}

// A daemon that never reached its log gives no position that a write could name; that its base is another render's counts
// all the same.
func TestWriteWithTheTokenOfAnotherRenderIsNotNewerThanWhatIsOwed(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "products"})
		time.Sleep(10 * time.Millisecond)
		later := f.get(cache.GetRequest{})
		if got := f.write(cache.SetRequest{Entry: entry("old", "products"), Base: later.Base, Shared: true}); got != cache.RefusedInvalidated {
			f.t.Errorf("with the token of another render: %v", got)
		}
		if got := f.write(cache.SetRequest{Entry: entry("new", "products"), Base: later.Base}); got != cache.Accepted {
			f.t.Errorf("with its own: %v", got)
		}
	})
}

// The tags of a reader may be owed although those of the entry are not.
func TestWriteWithoutATokenIsOlderThanWhatIsOwedForItsReaders(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		began := f.position()
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "page"})
		time.Sleep(10 * time.Millisecond)
		if got := f.write(cache.SetRequest{Entry: entry("old", "others"), Position: began}); got != cache.Accepted {
			f.t.Errorf("written: %v", got)
		}
		f.want(f.get(cache.GetRequest{SoftTags: []string{"page"}}), cache.Miss, cache.StoreUnavailable, false, "")
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.StoreUnavailable, false, "old")
	})
}
