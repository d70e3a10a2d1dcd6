package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

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
		synctest.Wait()
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
