package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// elsewhere is what another daemon writes into the store that both share.
func (f *fixture) elsewhere(after cache.Version, body string) {
	f.t.Helper()
	e := entry(body)
	e.Version = after
	e.Version.Token++
	if ok, err := f.store.Write(f.t.Context(), &e, cache.WriteOptions{}); !ok || err != nil {
		f.t.Fatal(ok, err)
	}
}

func TestWriteOfAnotherDaemonReplacesTheCopyHere(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		miss := f.get(cache.GetRequest{})
		f.set(miss, entry("mine"))
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "mine")
		f.elsewhere(miss.Base, "theirs")
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "theirs")
	})
}

func TestWriteOfAnotherDaemonWakesWhoIsParkedHere(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		holder := f.get(cache.GetRequest{})
		parked := make(chan cache.Answer, 1)
		go func() { parked <- f.get(cache.GetRequest{}) }()
		synctest.Wait()
		start := time.Now()
		f.elsewhere(holder.Base, "theirs")
		f.want(<-parked, cache.Hit, cache.NoReason, false, "theirs")
		if waited := time.Since(start); waited != 0 {
			f.t.Errorf("woken %v after the write; want at once", waited)
		}
	})
}

func TestWhatTheStoreHadIsKept(t *testing.T) {
	bubble(t, false, func(f *fixture) {
		f.elsewhere(f.get(cache.GetRequest{NoLease: true}).Base, "theirs")
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "theirs")
		before := f.flaky.reads
		f.want(f.get(cache.GetRequest{}), cache.Hit, cache.NoReason, false, "theirs")
		if f.flaky.reads != before {
			f.t.Error("the second read asked the store again")
		}
	})
}

func TestReadWaitsForThePositionThatItNeeds(t *testing.T) {
	bubble(t, true, func(f *fixture) {
		f.set(f.get(cache.GetRequest{}), entry("one", "products"))
		needed := f.position()
		needed.Seq++
		answer := make(chan cache.Answer, 1)
		go func() { answer <- f.get(cache.GetRequest{AsOf: needed}) }()
		synctest.Wait()
		select {
		case a := <-answer:
			f.t.Fatalf("answered as of %v, before %v", a.AsOf, needed)
		default:
		}
		f.revalidate(tag.Revalidation{Tag: "products"})
		f.want(<-answer, cache.Miss, cache.TagExpired, true, "")
	})
}
