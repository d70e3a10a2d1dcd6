package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

func TestReadIsProvenOncePerBound(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one"))
		f.log.set(func(l *flakyLog) { l.proofs = 0 })
		for range 10 {
			f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		}
		if f.log.proofs != 0 {
			f.t.Errorf("%d proofs within the bound", f.log.proofs)
		}
		time.Sleep(cache.Bound)
		for range 10 {
			f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		}
		if f.log.proofs != 1 {
			f.t.Errorf("%d proofs after the bound, want 1", f.log.proofs)
		}
	})
}

func TestReadsShareAProof(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one"))
		time.Sleep(cache.Bound)
		hold := make(chan struct{})
		f.log.set(func(l *flakyLog) { l.proofs, l.hold = 0, hold })
		answers := make(chan cache.Answer, 20)
		for range 20 {
			go func() { answers <- f.get(cache.GetRequest{}) }()
		}
		synctest.Wait()
		if f.log.proofs != 1 || len(answers) != 0 {
			f.t.Errorf("%d proofs for 20 reads, %d answered before it", f.log.proofs, len(answers))
		}
		close(hold)
		for range 20 {
			f.want(<-answers, cache.Hit, cache.NoReason, false, "one")
		}
	})
}

func TestProofThatIsOverHoldsForItsOwnRead(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.log.set(func(l *flakyLog) { l.valid = -1 })
		f.set(f.get(cache.GetRequest{}), entry("one"))
		f.log.set(func(l *flakyLog) { l.proofs = 0 })
		for range 3 {
			f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		}
		if f.log.proofs < 3 {
			f.t.Errorf("%d proofs for 3 reads, none of which is good for another", f.log.proofs)
		}
		if until, err := f.Vouched(f.t.Context(), "shop"); err != nil || until.After(time.Now()) {
			f.t.Errorf("clients may rely on it until %v: %v", until, err)
		}
	})
}

func TestWithoutTheStoreAnswersAreFlaggedAndEnd(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.run()
		e := entry("one", "products")
		e.Lifetime.Revalidate = 2 * time.Minute
		f.set(f.get(cache.GetRequest{}), e)
		f.away(cache.ErrUnavailable)
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "one")
		time.Sleep(cache.Bound)
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.StoreUnavailable, false, "one")
		time.Sleep(2 * time.Minute)
		f.want(f.get(cache.GetRequest{}), cache.Stale, cache.StoreUnavailable, false, "one")
		time.Sleep(55 * time.Minute)
		f.want(f.get(cache.GetRequest{}), cache.Stale, cache.StoreUnavailable, false, "one")
		f.away(nil)
		time.Sleep(cache.Bound)
		f.want(f.get(cache.GetRequest{}), cache.Stale, cache.Revalidate, true, "one")
	})
	bubble(t, false, func(f *fixture) {
		e := entry("one")
		e.Lifetime = cache.Lifetime{Revalidate: cache.Unlimited, Expire: cache.Unlimited}
		f.set(f.get(cache.GetRequest{}), e)
		f.away(cache.ErrUnavailable)
		time.Sleep(time.Hour + 2*cache.Bound)
		f.want(f.get(cache.GetRequest{}), cache.Miss, cache.StoreUnavailable, false, "")
	})
}

func TestRevalidateReturnsWhenTheOthersHaveIt(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		var awaited tag.Position
		others := make(chan struct{})
		f.log.set(func(l *flakyLog) {
			l.await = func(ctx context.Context, p tag.Position) error {
				awaited = p
				select {
				case <-others:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		})
		done := make(chan cache.Revalidated, 1)
		go func() {
			r, err := f.Revalidate(f.t.Context(), "shop", []tag.Revalidation{{Tag: "products"}}, nil)
			if err != nil {
				f.t.Error(err)
			}
			done <- r
		}()
		synctest.Wait()
		if len(done) != 0 || awaited.Seq == 0 {
			f.t.Fatalf("returned %d times before the others have it; waited for %v", len(done), awaited)
		}
		close(others)
		if r := <-done; !r.FleetWide || r.Position != awaited {
			f.t.Errorf("got %+v, waited for %v", r, awaited)
		}
	})
}

func TestRevalidateReturnsWhenTheClientsHaveIt(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.run()
		f.get(cache.GetRequest{})
		client := f.hub.Subscribe("shop", 10)
		defer client.Close()
		client.Ack(f.position())
		client.Promise(time.Now().Add(cache.Bound))
		done := make(chan cache.Revalidated, 1)
		begun := time.Now()
		go func() {
			r, err := f.Revalidate(f.t.Context(), "shop", []tag.Revalidation{{Tag: "products"}}, nil)
			if err != nil {
				f.t.Error(err)
			}
			done <- r
		}()
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		at := f.position()
		f.log.mu.Lock()
		told := f.log.acknowledged
		f.log.mu.Unlock()
		if len(done) != 0 || len(told) > 0 && told[len(told)-1] == at {
			f.t.Fatalf("returned %d times, acknowledged %v, before the client has it", len(done), told)
		}
		client.Ack(at)
		<-done
		if took := time.Since(begun); took != 200*time.Millisecond {
			f.t.Errorf("returned after %v", took)
		}
		synctest.Wait()
		f.log.mu.Lock()
		defer f.log.mu.Unlock()
		if n := len(f.log.acknowledged); n == 0 || f.log.acknowledged[n-1] != at {
			f.t.Errorf("acknowledged %v to the others, want %v", f.log.acknowledged, at)
		}
	})
}

func TestEventThatWasLostWithItsLogIsAppendedAgain(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		f.log.set(func(l *flakyLog) { l.lose = 1 })
		before := f.position()
		r, err := f.Revalidate(f.t.Context(), "shop", []tag.Revalidation{{Tag: "products"}}, nil)
		if err != nil || !r.FleetWide || r.Position.Epoch == before.Epoch {
			f.t.Errorf("got %+v, %v after %v", r, err, before)
		}
		if n := len(f.log.appended); n != 2 {
			f.t.Errorf("appended %d times, once in each epoch is what it takes", n)
		}
	})
}

func TestResume(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		begin := f.position()
		var positions []tag.Position
		for range 3000 {
			f.revalidate(tag.Revalidation{Tag: "t"})
			positions = append(positions, f.position())
		}
		last := positions[len(positions)-1]
		for name, tc := range map[string]struct {
			from   tag.Position
			missed int
			ok     bool
		}{
			"nothing was missed":      {last, 0, true},
			"some events":             {positions[2989], 10, true},
			"too many":                {begin, 0, false},
			"another event there":     {tag.Position{Epoch: last.Epoch, Seq: last.Seq - 3, Nonce: "other"}, 0, false},
			"of the future":           {tag.Position{Epoch: last.Epoch, Seq: last.Seq + 1}, 0, false},
			"an epoch that is over":   {tag.Position{Epoch: last.Epoch - 1, Seq: last.Seq}, 0, false},
			"nothing was ever known":  {tag.Position{}, 0, false},
			"the oldest that is kept": {positions[len(positions)-1-1024], 1024, true},
		} {
			now, missed, ok, err := f.Resume(f.t.Context(), "shop", tc.from)
			if err != nil || now != last || ok != tc.ok || len(missed) != tc.missed {
				f.t.Errorf("%s: at %v, %d events, %v, %v; want %d, %v", name, now, len(missed), ok, err, tc.missed, tc.ok)
			}
			if tc.missed > 0 && missed[0].Position.Seq != tc.from.Seq+1 {
				f.t.Errorf("%s: events begin with %v, after %v", name, missed[0].Position, tc.from)
			}
		}
	})
}
