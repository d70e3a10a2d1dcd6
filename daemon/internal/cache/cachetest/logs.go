package cachetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

var logTests = []contractTest{
	{"following begins with a load", func(f *fixture) {
		h := f.follow(f.a, f.app).Heard()
		if len(h.Loads) != 1 || h.Snapshot.Position.Epoch == 0 || h.Snapshot.Position.Seq < h.Snapshot.Position.Epoch || len(h.Snapshot.Records) != 0 {
			f.Errorf("got %+v of a new log", h)
		}
	}},
	{"a log keeps its epoch when it gets its first event", func(f *fixture) {
		r := f.follow(f.a, f.app)
		before := r.Heard().Snapshot.Position
		p := f.append(f.b, hard("t"))
		if p.Epoch != before.Epoch || p.Seq != before.Seq+1 || p.Nonce == "" {
			f.Errorf("position %+v after %+v", p, before)
		}
		if h := r.AwaitPosition(f, p); len(h.Loads) != 1 || len(h.Events) != 1 {
			f.Errorf("%d loads and %d events", len(h.Loads), len(h.Events))
		}
	}},
	{"events reach every daemon, in order", testEvents},
	{"who follows later knows the same", testSnapshot},
	{"nothing falls between the load and the events", testFollowRace},
	{"records are the sum of their marks", testRecords},
	{"what a tag's marks were is kept through times that are over", testExpiredMarks},
	{"apps have logs of their own", func(f *fixture) {
		mine, other := f.follow(f.a, f.app), f.follow(f.a, f.app+"x")
		p := f.append(f.b, hard("t"))
		mine.AwaitPosition(f, p)
		before := other.Heard().Snapshot.Position
		if q, err := f.b.Append(f.Context(), f.app+"x", nil); err != nil || q.Epoch != before.Epoch || q.Seq != before.Seq+1 {
			f.Errorf("the other log is at %v after %v: %v", q, before, err)
		}
		if h := other.Await(f, "its own event", func(h Heard) bool { return len(h.Events) > 0 }); len(h.Events[0].Marks) != 0 {
			f.Errorf("the other app heard %+v", h.Events)
		}
	}},
	{"hints of writes reach every daemon", func(f *fixture) {
		recorders := f.followAll()
		v := version(1, 2, 1<<40)
		f.write(f.a, f.entry("/p", v), cache.WriteOptions{})
		for _, r := range recorders {
			h := r.Await(f, "the write", func(h Heard) bool { return len(h.Written) > 0 })
			if want := (Written{f.key("/p").ID(), v}); h.Written[0] != want || len(h.Released) != 0 {
				f.Errorf("heard %+v, released %v, want %+v", h.Written, h.Released, want)
			}
		}
	}},
	{"hints of releases reach every daemon", testReleaseHints},
}

func hard(t string) tag.Revalidation { return tag.Revalidation{Tag: t} }

func (f *fixture) follow(s cache.Log, app string) *Recorder {
	f.Helper()
	r := NewRecorder(f)
	if err := s.Follow(f.Context(), app, r); err != nil {
		f.Fatal(err)
	}
	if h := r.Heard(); len(h.Loads) == 0 {
		f.Fatal("no load before Follow returned")
	}
	return r
}

// followAll follows the app on every daemon there is.
func (f *fixture) followAll() []*Recorder {
	f.Helper()
	recorders := []*Recorder{f.follow(f.a, f.app)}
	if f.a != f.b {
		recorders = append(recorders, f.follow(f.b, f.app))
	}
	return recorders
}

func (f *fixture) append(s cache.Log, rs ...tag.Revalidation) tag.Position {
	f.Helper()
	p, err := s.Append(f.Context(), f.app, rs)
	if err != nil {
		f.Fatal(err)
	}
	return p
}

func testEvents(f *fixture) {
	recorders := f.followAll()
	revalidations := []tag.Revalidation{
		hard("hard"), {Tag: "soft", Soft: true, Expire: 90 * time.Second}, {Tag: "now", Soft: true},
		{Tag: "ever", Soft: true, Expire: tag.ForEver}, {Tag: "\x00key:1"}, {Tag: "größe"}, {Tag: "\xff\xfe"}, {Tag: ""},
	}
	var last tag.Position
	nonces := make(map[string]bool)
	for i := range 20 {
		p := f.append([]cache.Log{f.a, f.b}[i%2], revalidations...)
		if i > 0 && (p.Seq != last.Seq+1 || p.Epoch != last.Epoch) || nonces[p.Nonce] {
			f.Errorf("position %+v after %+v", p, last)
		}
		nonces[p.Nonce] = true
		last = p
	}
	for _, r := range recorders {
		h := r.AwaitPosition(f, last)
		if len(h.Events) != 20 || len(h.Loads) != 1 {
			f.Errorf("%d events, %d loads", len(h.Events), len(h.Loads))
		}
		for _, e := range h.Events {
			want := make([]tag.Mark, len(revalidations))
			for i, rv := range revalidations {
				want[i] = rv.MarkAt(e.At)
			}
			if diff := cmp.Diff(want, e.Marks); diff != "" {
				f.Errorf("event %v (-want +got):\n%s", e.Position, diff)
			}
			if now := f.a.Now(); e.At < now-60_000 || e.At > now+1000 {
				f.Errorf("event at %d, now is %d", e.At, now)
			}
		}
		if h.Snapshot.Position != last {
			f.Errorf("followed to %+v, appended up to %+v", h.Snapshot.Position, last)
		}
	}
}

func testSnapshot(f *fixture) {
	if f.a == f.b {
		f.Skip("one daemon, which follows once")
	}
	first := f.follow(f.a, f.app)
	f.append(f.a, hard("hard"), tag.Revalidation{Tag: "soft", Soft: true, Expire: time.Hour}, tag.Revalidation{Tag: "größe \xff", Soft: true, Expire: tag.ForEver})
	p := f.append(f.a, tag.Revalidation{Tag: "hard", Soft: true, Expire: time.Minute})
	want := first.AwaitPosition(f, p).Snapshot
	got := f.follow(f.b, f.app).Heard().Snapshot
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("a snapshot and the sum of the events differ (-sum +snapshot):\n%s", diff)
	}
}

// testFollowRace appends while following begins. The Recorder fails the test if an event does not follow the load.
func testFollowRace(f *fixture) {
	for round := range 10 {
		app := fmt.Sprint(f.app, round)
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			last tag.Position
		)
		for worker := range 3 {
			wg.Go(func() {
				for range 10 {
					p, err := []cache.Log{f.a, f.b}[worker%2].Append(f.Context(), app, []tag.Revalidation{hard(fmt.Sprint("t", worker))})
					if err != nil {
						f.Error(err)
						return
					}
					mu.Lock()
					if last.Before(p) {
						last = p
					}
					mu.Unlock()
				}
			})
		}
		r := f.follow(f.a, app)
		wg.Wait()
		h := r.AwaitPosition(f, last)
		if last.Seq-last.Epoch != 30 || len(h.Snapshot.Records) != 3 {
			f.Errorf("30 events of 3 tags gave position %v and %d records", last, len(h.Snapshot.Records))
		}
	}
}

// randomRevalidation has times short enough to be over within a test, or long enough not to be.
func randomRevalidation(rng *rand.Rand) tag.Revalidation {
	r := tag.Revalidation{Tag: fmt.Sprint("t", rng.IntN(40)), Soft: rng.IntN(3) > 0}
	if r.Soft {
		r.Expire = []time.Duration{0, time.Millisecond, 3 * time.Millisecond, time.Hour, 2 * time.Hour, 1000 * 24 * time.Hour, tag.ForEver}[rng.IntN(7)]
	}
	return r
}

func testRecords(f *fixture) {
	if f.a == f.b {
		f.Skip("one daemon, which follows once")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	r := f.follow(f.a, f.app)
	var p tag.Position
	for range 300 {
		rs := make([]tag.Revalidation, 1+rng.IntN(20))
		for i := range rs {
			rs[i] = randomRevalidation(rng)
		}
		p = f.append(f.b, rs...)
	}
	want := r.AwaitPosition(f, p).Snapshot
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	late := NewRecorder(f)
	if err := f.b.Follow(ctx, f.app, late); err != nil {
		f.Fatal(err)
	}
	if diff := cmp.Diff(want, late.Heard().Snapshot, cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("the store and tag.Record fold marks differently (-tag +store):\n%s", diff)
	}
}

func testExpiredMarks(f *fixture) {
	r := f.follow(f.a, f.app)
	f.append(f.b, tag.Revalidation{Tag: "t", Soft: true, Expire: 20 * time.Millisecond})
	h := r.Await(f, "the mark", func(h Heard) bool { return len(h.Events) == 1 })
	over := h.Events[0].Marks[0].ExpireAt
	f.eventually("the mark's time is over", func() bool { return f.a.Now() > over && f.b.Now() > over })
	var p tag.Position
	f.eventually("an event is appended after it", func() bool {
		p = f.append(f.b, tag.Revalidation{Tag: "t", Soft: true, Expire: time.Hour})
		events := r.AwaitPosition(f, p).Events
		return events[len(events)-1].At >= over
	})
	if rec := r.Heard().Snapshot.Records["t"]; rec.Expired == 0 {
		f.Errorf("what had expired is only stale again: %+v", rec)
	}
}

func testReleaseHints(f *fixture) {
	recorders := f.followAll()
	id := f.key("/p").ID()
	for i, end := range []func(token uint64){
		func(token uint64) { f.release(f.a, f.key("/p"), token, 0) },
		func(token uint64) { f.write(f.a, f.entry("/p", version(0, 0, 1)), cache.WriteOptions{Lease: token}) }, // refused
		func(token uint64) { f.release(f.a, f.key("/p"), token, time.Minute) },
	} {
		f.write(f.a, f.entry("/p", version(1, 1, 1)), cache.WriteOptions{})
		opt := ask("one", time.Minute)
		opt.Judged = version(1, 1, 1)
		end(f.acquire("/p", opt).Token)
		for _, r := range recorders {
			h := r.Await(f, "the release", func(h Heard) bool { return len(h.Released) > i })
			if h.Released[i] != id || len(h.Written) > 1 {
				f.Errorf("end %d: released %v, written %v", i, h.Released, h.Written)
			}
		}
	}
}
