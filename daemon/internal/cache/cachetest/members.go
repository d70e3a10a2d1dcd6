package cachetest

import (
	"context"
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// memberTests are about who answers reads as fresh, and who waits for it.
var memberTests = []contractTest{
	{"a proof brings the follower to where the log is", func(f *fixture) {
		r := f.follow(f.a, f.app)
		for i := range 20 {
			p := f.append(f.b, hard(fmt.Sprint("t", i)))
			f.prove(f.a, tag.Position{})
			if is := r.Heard().Snapshot.Position; is.Before(p) {
				f.Fatalf("at %v after a proof, and %v was appended before it", is, p)
			}
		}
	}},
	{"a proof is good for a bound from when it was asked for", func(f *fixture) {
		f.follow(f.a, f.app)
		f.eventually("somebody is vouched for", func() bool {
			before := time.Now()
			until := f.prove(f.a, tag.Position{})
			after := time.Now()
			if until.Before(before) || until.After(after.Add(cache.Bound)) {
				f.Errorf("vouched for until %v after the question, %v after the answer", until.Sub(before), until.Sub(after))
			}
			// Over already, while members of a life before may be left; or the whole of it.
			if until.After(after) && until.Before(before.Add(cache.Bound)) {
				f.Errorf("vouched for only until %v after the question", until.Sub(before))
			}
			return until.After(after)
		})
	}},
	{"who has proven and appends does not wait for itself", func(f *fixture) {
		f.follow(f.a, f.app)
		f.atOnce(func() tag.Position {
			f.vouch(f.a)
			return f.append(f.a, hard("t"))
		})
	}},
	{"a member is waited for until it acknowledges", testAwaitAcknowledged},
	{"a proof says up to where a member's clients were told", func(f *fixture) {
		f.two()
		p := f.awaited()
		waiting := f.await(f.a, p)
		f.prove(f.b, p)
		f.returned(waiting, "after a proof that says so")
	}},
	{"a member that acknowledged before anybody waits is not waited for", func(f *fixture) {
		f.two()
		acknowledged := func() tag.Position {
			p := f.awaited()
			f.acknowledge(f.b, p)
			return p
		}
		f.atOnce(acknowledged)
		f.atOnce(func() tag.Position {
			p := acknowledged()
			f.returned(f.await(f.a, p), "after the acknowledgement")
			f.prove(f.b, tag.Position{}) // which began before the acknowledgement
			return p
		})
		f.atOnce(func() tag.Position {
			p := f.awaited()
			f.prove(f.b, p)
			return p
		})
	}},
	{"a member that falls silent is waited for until it vouches for nothing", testAwaitSilent},
	{"every member is waited for, whoever appends", func(f *fixture) {
		f.two()
		f.vouch(f.a)
		f.vouch(f.b)
		p, q := f.append(f.a, hard("t")), f.append(f.b, hard("u"))
		forP, forQ := f.await(f.a, p), f.await(f.b, q)
		f.acknowledge(f.a, q)
		f.returned(forQ, "after the other's acknowledgement")
		f.acknowledge(f.b, q)
		f.returned(forP, "after that of a later event")
	}},
	{"nobody proves, acknowledges or waits who has gone", func(f *fixture) {
		f.follow(f.a, f.app)
		p := f.append(f.a, hard("t"))
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		if _, err := f.a.Prove(ctx, f.app, p); !isUnavailable(err) {
			f.Errorf("prove: %v", err)
		}
		if err := f.a.Acknowledge(ctx, f.app, p); !isUnavailable(err) {
			f.Errorf("acknowledge: %v", err)
		}
		if err := f.a.Await(ctx, f.app, p); !isUnavailable(err) {
			f.Errorf("await: %v", err)
		}
		if _, err := f.a.Renew(ctx, f.key("/p"), 1, time.Minute); !isUnavailable(err) {
			f.Errorf("renew: %v", err)
		}
		if _, err := f.a.Claim(ctx, f.key("/p"), 1, cache.ClaimOptions{TTL: time.Minute}); !isUnavailable(err) {
			f.Errorf("claim: %v", err)
		}
	}},
}

func testAwaitAcknowledged(f *fixture) {
	f.two()
	for late := 0; ; {
		proven := time.Now()
		f.vouch(f.b)
		before := f.append(f.a, hard("before"))
		p := f.append(f.a, hard("t"))
		waiting := f.await(f.a, p)
		f.acknowledge(f.b, before)
		select {
		case <-waiting:
			if time.Since(proven) < cache.Bound {
				f.Error("nobody was waited for")
				return
			}
			continue // the machine stood still for longer than the membership lasts
		case <-time.After(250 * time.Millisecond): // nothing is to happen
		}
		f.acknowledge(f.b, p)
		acknowledged := time.Now()
		f.returned(waiting, "after the acknowledgement")
		took := time.Since(acknowledged)
		if took <= cache.Bound {
			return
		}
		if late++; late == inARow {
			f.Errorf("returned %v after the acknowledgement, and was late %d times in a row", took, late)
			return
		}
	}
}

func testAwaitSilent(f *fixture) {
	f.two()
	var p tag.Position
	for i := range inARow {
		until := f.vouch(f.b)
		p = f.append(f.a, hard("t"))
		f.returned(f.await(f.a, p), "after the member's time was over")
		left := time.Until(until)
		if left > 0 {
			f.Errorf("returned %v before the member's time was over", left)
		}
		if left >= -2*cache.Bound {
			break
		}
		if i == inARow-1 {
			f.Errorf("returned %v after the member's time was over, and was late %d times in a row", -left, inARow)
		}
	}
	f.atOnce(func() tag.Position { return p }) // asked again, with nobody left
}

// inARow is how often something has to be late to be a failure: once, the machine may have stood still.
const inARow = 3

// two skips the test if there is only one daemon, and has both follow.
func (f *fixture) two() {
	f.Helper()
	if f.a == f.b {
		f.Skip("one daemon, which waits for nobody")
	}
	f.followAll()
}

func (f *fixture) prove(s cache.Log, told tag.Position) time.Time {
	f.Helper()
	until, err := s.Prove(f.Context(), f.app, told)
	if err != nil {
		f.Fatal(err)
	}
	return until
}

// vouch proves until s is vouched for, and returns until when.
func (f *fixture) vouch(s Backend) (until time.Time) {
	f.Helper()
	f.eventually("the daemon is vouched for", func() bool {
		var err error
		until, err = s.Prove(f.Context(), f.app, tag.Position{})
		return err != nil || until.After(time.Now())
	})
	return until
}

// awaited is an event that b, who is vouched for, was not told of.
func (f *fixture) awaited() tag.Position {
	f.Helper()
	f.vouch(f.b)
	return f.append(f.a, hard("t"))
}

func (f *fixture) acknowledge(s cache.Log, p tag.Position) {
	f.Helper()
	if err := s.Acknowledge(f.Context(), f.app, p); err != nil {
		f.Fatal(err)
	}
}

// await waits in the background. The channel is closed when it has returned.
func (f *fixture) await(s cache.Log, p tag.Position) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Await(f.Context(), f.app, p); err != nil && f.Context().Err() == nil {
			f.Errorf("await %v: %v", p, err)
		}
	}()
	return done
}

func (f *fixture) returned(waiting <-chan struct{}, when string) {
	f.Helper()
	select {
	case <-waiting:
	case <-time.After(patience):
		f.Fatalf("still waiting %s", when)
	}
}

// atOnce fails if anybody is waited for, with what prepare makes each time.
func (f *fixture) atOnce(prepare func() tag.Position) {
	f.Helper()
	var took time.Duration
	for range inARow {
		p := prepare()
		begun := time.Now()
		f.returned(f.await(f.a, p), "although there is nobody to wait for")
		if took = time.Since(begun); took <= cache.Bound/2 {
			return
		}
	}
	f.Errorf("waited for %v, and %d times in a row, although there is nobody to wait for", took, inARow)
}
