package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

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

// While a revalidation that is owed does not hold yet, clients read what they hold, and put it into what they render.
func TestWhatIsRenderedBeforeWhatIsOwedHoldsIsNotNewer(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.run()
		f.get(cache.GetRequest{NoLease: true})
		f.away(cache.ErrUnavailable)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.revalidate(tag.Revalidation{Tag: "products"})
		}()
		time.Sleep(cache.Bound / 4)
		between := f.get(cache.GetRequest{})
		select {
		case <-done:
			f.t.Fatal("clients may still serve what they hold")
		default:
		}
		if got := f.set(between, entry("with what the near cache had", "products")); got != cache.RefusedInvalidated {
			f.t.Errorf("rendered before it held: %v", got)
		}
		<-done
		time.Sleep(10 * time.Millisecond)
		if got := f.set(f.get(cache.GetRequest{}), entry("new", "products")); got != cache.Accepted {
			f.t.Errorf("rendered after: %v", got)
		}
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

// A daemon that never reached its log gives no position that a write could name; that its base is another render's counts
// all the same.
func TestWriteWithTheTokenOfAnotherRenderIsNotNewerThanWhatIsOwed(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.get(cache.GetRequest{})
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "products"})
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
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
		synctest.Wait()
		if got := f.write(cache.SetRequest{Entry: entry("old", "others"), Position: began}); got != cache.Accepted {
			f.t.Errorf("written: %v", got)
		}
		f.want(f.get(cache.GetRequest{SoftTags: []string{"page"}}), cache.Miss, cache.StoreUnavailable, false, "")
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.StoreUnavailable, false, "old")
	})
}

// A render that began after a revalidation that is owed is served, also where an entry from before is there.
func TestWhatIsRenderedAfterWhatIsOwedIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, false)
		f.run()
		f.set(f.get(cache.GetRequest{}), entry("old", "products"))
		time.Sleep(10 * time.Millisecond)
		f.away(cache.ErrUnavailable)
		f.revalidate(tag.Revalidation{Tag: "products"})
		time.Sleep(10 * time.Millisecond)
		miss := f.get(cache.GetRequest{})
		f.want(miss, cache.Miss, cache.StoreUnavailable, false, "")
		if got := f.set(miss, entry("new", "products")); got != cache.Accepted {
			t.Errorf("set: %v", got)
		}
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.StoreUnavailable, false, "new")
	})
}
