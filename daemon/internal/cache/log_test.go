package cache_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

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

func TestRevalidationWithoutTheStoreHoldsHereAndIsOwed(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.run()
		hard, soft := entry("hard", "hard"), entry("soft", "soft")
		hard.Key.Name, soft.Key.Name = "/hard", "/soft"
		read := func(e cache.Entry) cache.Answer { return f.get(cache.GetRequest{Key: e.Key}) }
		for _, e := range []cache.Entry{hard, soft} {
			f.set(read(e), e)
		}
		time.Sleep(10 * time.Millisecond) // what is rendered and what is revalidated in one moment cannot be told apart
		f.away(cache.ErrUnavailable)
		begun := time.Now()
		r, err := f.Revalidate(f.t.Context(), "shop", []tag.Revalidation{{Tag: "hard"}, {Tag: "soft", Soft: true, Expire: time.Minute}}, nil)
		if err != nil || r.FleetWide {
			f.t.Fatalf("got %+v, %v", r, err)
		}
		if took := time.Since(begun); took > cache.Bound+time.Millisecond {
			f.t.Errorf("took %v", took)
		}
		if until, err := f.Vouched(f.t.Context(), "shop"); err != nil || until.After(time.Now()) {
			f.t.Errorf("clients may still serve what they hold until %v: %v", until, err)
		}
		f.want(read(hard), cache.Miss, cache.StoreUnavailable, false, "")
		f.want(read(soft), cache.Stale, cache.StoreUnavailable, false, "soft")
		time.Sleep(time.Minute)
		f.want(read(soft), cache.Miss, cache.StoreUnavailable, false, "")

		f.log.set(func(l *flakyLog) { l.appended = nil })
		f.away(nil)
		f.want(read(hard), cache.Miss, cache.TagExpired, true, "")
		f.want(read(soft), cache.Miss, cache.TagExpired, true, "")
		f.log.mu.Lock()
		defer f.log.mu.Unlock()
		if len(f.log.appended) != 1 || len(f.log.appended[0]) != 2 {
			f.t.Errorf("appended %v, want what was owed, once", f.log.appended)
		}
	})
}

// What is owed has no place in the log, and a write without a get has no token to be told from it by.
func TestWriteWithoutAGetIsNotNewerThanWhatIsOwed(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		began := f.position()
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "products"}, tag.Revalidation{Tag: "soft", Soft: true, Expire: tag.ForEver})
		time.Sleep(10 * time.Millisecond)
		later := f.get(cache.GetRequest{})
		for _, t := range []string{"products", "soft"} {
			if got := f.write(cache.SetRequest{Entry: entry("old", t), Base: later.Base, Position: began}); got != cache.RefusedInvalidated {
				f.t.Errorf("%s: with the token of another render: %v", t, got)
			}
		}
		if got := f.write(cache.SetRequest{Entry: entry("old", "products"), Position: began}); got != cache.RefusedInvalidated {
			f.t.Errorf("a write that began nobody knows when: %v", got)
		}
		if got := f.write(cache.SetRequest{Entry: entry("other", "others"), Position: began}); got != cache.Accepted {
			f.t.Errorf("a write of other tags: %v", got)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.StoreUnavailable, false, "other")
	})
}

// kept is an outbox that outlives a cache.
type kept map[string][]tag.Mark

func (k kept) Load(app string) ([]tag.Mark, error)     { return k[app], nil }
func (k kept) Save(app string, marks []tag.Mark) error { k[app] = marks; return nil }

func TestWhatIsOwedOutlivesTheProcess(t *testing.T) {
	box := make(kept)
	next := func(f *fixture) *cache.Cache {
		memory, err := cache.NewMemory(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		return cache.New(cache.Config{Store: f.flaky, Log: f.log, Memory: memory, Publisher: f.hub, Outbox: box})
	}
	bubble(t, false, func(f *fixture) {
		f.Cache = next(f)
		f.get(cache.GetRequest{})
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "a"}, tag.Revalidation{Tag: "b", Soft: true, Expire: tag.ForEver})
	})
	if len(box["shop"]) != 2 {
		t.Fatalf("kept %v", box)
	}
	bubble(t, false, func(f *fixture) {
		f.Cache = next(f)
		f.get(cache.GetRequest{}) // it is vouched for only with what was owed
		if n := len(f.log.appended); n != 1 || len(f.log.appended[0]) != 2 {
			t.Errorf("appended %v", f.log.appended)
		}
		if len(box["shop"]) != 0 {
			t.Errorf("still owed: %v", box)
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

func TestUncacheableKeyParksNobody(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		for range cache.UncacheableAfter {
			miss := f.get(cache.GetRequest{})
			f.want(miss, cache.Miss, cache.Absent, true, "")
			if _, err := f.Release(f.t.Context(), home, miss.Lease.Token, cache.ReleaseOptions{Completed: true}); err != nil {
				f.t.Fatal(err)
			}
		}
		begun := time.Now()
		for range 2 {
			f.want(f.get(cache.GetRequest{}), cache.Miss, cache.Uncacheable, false, "")
		}
		if waited := time.Since(begun); waited != 0 {
			f.t.Errorf("waited %v for a render whose result is not kept", waited)
		}
		f.set(f.get(cache.GetRequest{}), entry("kept after all"))
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "kept after all")
	})
}
