package queuetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

func testFencing(f *fixture) {
	t := f.add(page("/p"))
	lost := f.one()
	next := f.one()
	if next.ID != t.ID || next.Token <= lost.Token || next.Attempt != 2 {
		f.Fatalf("after %+v came %+v", lost, next)
	}
	if ok, err := f.a.Finish(f.Context(), f.app, lost.Claim(), written); err != nil || ok {
		f.Errorf("the worker before ended what is another's: %v, %v", ok, err)
	}
	if lives, err := f.a.Renew(f.Context(), f.app, []queue.Claim{lost.Claim()}); err != nil || lives[0] {
		f.Errorf("renewed: %v, %v", lives, err)
	}
	f.finish(next, written)
	f.want(t.ID, queue.Done)
}

func testRenew(f *fixture) {
	t := f.add(page("/p"))
	j := f.one()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < 2*time.Second; <-tick.C { // it outlives its lease
		lives, err := f.b.Renew(f.Context(), f.app, []queue.Claim{j.Claim(), {ID: "unknown", Token: 1}})
		f.must(err)
		if !slices.Equal(lives, []bool{true, false}) {
			f.Fatalf("renewed: %v", lives)
		}
		f.none()
	}
	f.finish(j, written)
	f.want(t.ID, queue.Done)
}

func testGiveBack(f *fixture) {
	t := f.add(page("/p"))
	for range 10 {
		f.finish(f.one(), queue.Result{Verdict: queue.GiveBack})
	}
	if j := f.want(t.ID, queue.Queued); j.Attempt != 0 {
		f.Errorf("given back: %+v", j)
	}
}

func testConcurrentClaims(f *fixture) {
	const n = 300
	_, err := f.a.Enqueue(f.Context(), f.app, paths(n, queue.Normal))
	f.must(err)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]int{}
	)
	for i := range 8 {
		q := []Backend{f.a, f.b}[i%2]
		wg.Go(func() {
			for {
				c, err := q.Claim(f.Context(), f.app, options(3))
				if err != nil {
					f.Error(err)
					return
				}
				for _, j := range c.Jobs {
					if ok, err := q.Finish(f.Context(), f.app, j.Claim(), written); err != nil || !ok {
						f.Errorf("finish: %v, %v", ok, err)
					}
					mu.Lock()
					seen[j.ID]++
					mu.Unlock()
				}
				if len(c.Jobs) == 0 {
					return
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != n {
		f.Errorf("%d of %d jobs were claimed", len(seen), n)
	}
	for id, times := range seen {
		if times != 1 {
			f.Errorf("job %s was claimed %d times", id, times)
		}
	}
	f.counts(0, 0)
}

func testLeader(f *fixture) {
	lead := func(q Backend, holder string, ttl time.Duration) queue.Term {
		f.Helper()
		t, err := q.Lead(f.Context(), f.app, holder, ttl)
		f.must(err)
		return t
	}
	claim := func(term uint64) error {
		opt := options(1)
		opt.Term = term
		_, err := f.b.Claim(f.Context(), f.app, opt)
		return err
	}
	const short, longer = 2 * time.Second, 2500 * time.Millisecond // which outlive what is done within them
	first := lead(f.a, "one", short)
	if first.Number == 0 || claim(first.Number) != nil {
		f.Fatalf("the first: %+v, %v", first, claim(first.Number))
	}
	if t := lead(f.b, "two", time.Minute); t.Number != 0 || t.Left <= 0 || t.Left > short {
		f.Errorf("beside the first: %+v", t)
	}
	begun := time.Now() // the term counts from when the renewal is heard, which is later
	if t := lead(f.a, "one", longer); t.Number != first.Number {
		f.Errorf("renewed: %+v", t)
	}
	var second queue.Term
	f.eventually("the first one's time is over", func() bool {
		second = lead(f.b, "two", time.Minute)
		return second.Number != 0
	})
	if took := time.Since(begun); second.Number <= first.Number || took < longer-50*time.Millisecond {
		f.Errorf("the second: %+v after %v", second, took)
	}
	if err := claim(first.Number); !errors.Is(err, queue.ErrNotLeader) {
		f.Errorf("a claim of the leader before: %v", err)
	}
	if t := lead(f.a, "one", time.Minute); t.Number != 0 {
		f.Errorf("two at once: %+v", t)
	}
	f.must(f.a.Resign(f.Context(), f.app, "one")) // which is not the leader
	if err := claim(second.Number); err != nil {
		f.Errorf("a claim of the leader: %v", err)
	}
	signal, stop := f.a.Listen(f.app, queue.Ready)
	defer stop()
	f.eventually("the resignation is heard", func() bool { // the subscription may take a moment
		f.must(f.b.Resign(f.Context(), f.app, "two"))
		select {
		case <-signal:
			return true
		default:
			second = lead(f.b, "two", time.Minute)
			return false
		}
	})
	if t := lead(f.a, "one", time.Minute); t.Number <= second.Number {
		f.Errorf("after a resignation: %+v", t)
	}
}

func testListen(f *fixture) {
	ready, stop := f.b.Listen(f.app, queue.Ready)
	defer stop()
	ends, stopEnds := f.a.Listen(f.app, queue.Ended)
	defer stopEnds()
	n := 0
	f.eventually("a new job is heard of", func() bool { // the subscription may take a moment
		n++
		f.add(page(fmt.Sprint("/", n)))
		select {
		case <-ready:
			return true
		default:
			return false
		}
	})
	for _, j := range f.claim(n) {
		f.finish(j, written)
	}
	f.heard("an end", ends)
	f.add(page("/again"))
	f.heard("another job", ready)
	f.finish(f.one(), queue.Result{Verdict: queue.TryAgain, Delay: time.Hour})
	f.heard("another time", ready)
}

func testBuilds(f *fixture) {
	builds, err := f.a.Builds(f.Context(), f.app)
	f.must(err)
	if len(builds) != 0 {
		f.Errorf("builds %q", builds)
	}
	old, anyone := page("/p"), page("/p")
	old.Build, anyone.Build = "old", ""
	_, err = f.a.Enqueue(f.Context(), f.app, []queue.Request{old, page("/p"), anyone})
	f.must(err)
	var got []string
	for range 2 {
		got = append(got, f.claim(1)[0].Build)
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"", build}) {
		f.Errorf("a worker of %q claimed jobs of %q", build, got)
	}
	f.none()
	c, err := f.b.Claim(f.Context(), f.app, queue.ClaimOptions{Limit: 5, Free: map[string]int{build: 0, "old": 1}})
	f.must(err)
	if len(c.Jobs) != 1 || c.Jobs[0].Build != "old" {
		f.Errorf("claimed %+v", c.Jobs)
	}
	builds, err = f.a.Builds(f.Context(), f.app)
	f.must(err)
	if !slices.Equal(builds, []string{build, "old"}) {
		f.Errorf("builds %q", builds)
	}
}
