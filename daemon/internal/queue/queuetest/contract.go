package queuetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

var tests = []struct {
	name   string
	config func(*queue.Config)
	run    func(*fixture)
}{
	{"a job goes from the queue to its end", nil, testWay},
	{"identical jobs that nobody has begun are one", nil, testCollapse},
	{"who asks while it is rendered gets the next render", nil, testAgain},
	{"who asks while an attempt fails is done with the next attempt", func(c *queue.Config) { c.Settle = 50 * time.Millisecond }, testJoined},
	{"who asks during the attempt after a failure gets the next render", nil, testJoinedLate},
	{"who retries a dead job while its path is rendered gets the next render", nil, testRetriedLate},
	{"a path whose next job was dropped is still rendered once at a time", nil, testDropNext},
	{"a path settles before it is rendered again", func(c *queue.Config) { c.Settle = 300 * time.Millisecond }, testSettle},
	{"priorities, and nobody starves", nil, testPriorities},
	{"no build starves", nil, testBuildsStarve},
	{"what fails is tried again later, and is dead in the end", func(c *queue.Config) { c.Attempts = 3 }, testFailures},
	{"dead jobs are retried or dropped", nil, testDead},
	{"the oldest dead job makes room", func(c *queue.Config) { c.MaxDead = 3 }, testDeadBound},
	{"a worker that went away is followed, and cannot end what it lost", func(c *queue.Config) { c.Lease = time.Second }, testFencing},
	{"a claim lives while it is renewed", func(c *queue.Config) { c.Lease = 1500 * time.Millisecond }, testRenew},
	{"a job that was given back counts no attempt", nil, testGiveBack},
	{"there is no room without end, and least for bulk", func(c *queue.Config) { c.Max = 200 }, testFull},
	{"builds have jobs of their own, and any will do for some", nil, testBuilds},
	{"a job that nobody takes dies", func(c *queue.Config) { c.Patience = 50 * time.Millisecond }, testUnclaimed},
	{"a queue that nobody works off has room again", func(c *queue.Config) { c.Max, c.Patience = 10, 50*time.Millisecond }, testRoomAgain},
	{"ended jobs are forgotten", func(c *queue.Config) { c.Keep = 30 * time.Millisecond }, testForgotten},
	{"of many who claim each job has one", nil, testConcurrentClaims},
	{"lists have pages", nil, testList},
	{"one leader at a time, by term", nil, testLeader},
	{"listeners hear of new jobs and of ends", nil, testListen},
}

func testWay(f *fixture) {
	t := f.add(queue.Request{Path: "/größe/{a b}", Build: build, Priority: queue.Normal, OnlyIfCached: true})
	j := f.want(t.ID, queue.Queued)
	if j.Path != "/größe/{a b}" || j.Build != build || j.Priority != queue.Normal || !j.OnlyIfCached || j.Attempt != 0 || j.Enqueued == 0 {
		f.Errorf("enqueued: %+v", j)
	}
	taken := f.one()
	if j := f.want(t.ID, queue.Taken); j.By != "worker" || j.Attempt != 1 || j.Claimed < j.Enqueued || taken.ID != t.ID || taken.Path != j.Path {
		f.Errorf("claimed: %+v as %+v", j, taken)
	}
	f.none()
	f.counts(1, 0)
	f.finish(taken, queue.Result{Verdict: queue.Complete, Outcome: queue.NotFound, HTTPStatus: 404, Reason: "so \"it\" is"})
	if j := f.want(t.ID, queue.Done); j.Outcome != queue.NotFound || j.HTTPStatus != 404 || j.Reason != "so \"it\" is" || !j.Ended() {
		f.Errorf("done: %+v", j)
	}
	if ok, err := f.b.Finish(f.Context(), f.app, taken.Claim(), written); err != nil || ok {
		f.Errorf("finished twice: %v, %v", ok, err)
	}
	f.none()
	f.counts(0, 0)
}

func testCollapse(f *fixture) {
	r := page("/p")
	r.Priority, r.OnlyIfCached = queue.Bulk, true
	first := f.add(r)
	if first.Collapsed {
		f.Error("the first one was there")
	}
	other := page("/p")
	other.Build = "another"
	if t := f.add(other); t.Collapsed || t.ID == first.ID {
		f.Error("another build's job was taken for this one's")
	}
	for range 3 {
		if t := f.add(page("/p")); !t.Collapsed || t.ID != first.ID {
			f.Errorf("got %+v, want that of %s", t, first.ID)
		}
	}
	if t := f.add(r); !t.Collapsed || t.ID != first.ID {
		f.Errorf("got %+v, want that of %s", t, first.ID)
	}
	if j := f.get(first.ID); j.Priority != queue.Interactive || j.OnlyIfCached {
		f.Errorf("it does not do what all have asked for: %+v", j)
	}
	if j := f.one(); j.ID != first.ID {
		f.Errorf("claimed %+v", j)
	}
	f.none()
	f.counts(2, 0)
}

func testAgain(f *fixture) {
	first := f.add(page("/p"))
	for range 3 {
		taken := f.one()
		if taken.ID != first.ID {
			f.Fatalf("claimed %s, want %s", taken.ID, first.ID)
		}
		next := f.add(page("/p"))
		if next.Collapsed || next.ID == first.ID {
			f.Fatal("who asks while it is rendered was given the render that began before")
		}
		if t := f.add(page("/p")); !t.Collapsed || t.ID != next.ID {
			f.Errorf("got %+v, want that of %s", t, next.ID)
		}
		f.none()
		f.want(next.ID, queue.Queued)
		f.finish(taken, written)
		f.want(first.ID, queue.Done)
		first = next
	}
	// A failure keeps the next one waiting, and the death of a job lets it go on.
	taken := f.one()
	next := f.add(page("/p"))
	f.finish(taken, queue.Result{Verdict: queue.TryAgain, Reason: "r"})
	taken = f.one()
	if taken.ID != first.ID || taken.Attempt != 2 {
		f.Errorf("claimed %+v, want the second attempt", taken)
	}
	f.finish(taken, queue.Result{Verdict: queue.GiveUp, Reason: "enough"})
	if j := f.one(); j.ID != next.ID {
		f.Errorf("claimed %+v, want %s", j, next.ID)
	}
	f.counts(1, 1)
}

func testJoined(f *fixture) {
	first := f.add(page("/p"))
	taken := f.one()
	next := f.add(page("/p"))
	f.finish(taken, queue.Result{Verdict: queue.TryAgain, Reason: "its data was revalidated meanwhile", Delay: time.Millisecond})
	again := f.one()
	if again.ID != first.ID {
		f.Fatalf("claimed %+v, want the second attempt", again)
	}
	f.settled(taken, again, 50*time.Millisecond)
	f.finish(again, written)
	f.want(first.ID, queue.Done)
	f.want(next.ID, queue.Done)
	f.none()
	f.counts(0, 0)
}

func testJoinedLate(f *fixture) {
	f.add(page("/p"))
	taken := f.one()
	next := f.add(page("/p"))
	f.pass()
	f.finish(taken, queue.Result{Verdict: queue.TryAgain, Reason: "r"})
	again := f.one()
	f.pass()
	late := f.add(page("/p")) // its render may have read what was there before
	if !late.Collapsed || late.ID != next.ID {
		f.Fatalf("got %+v, want that of %s", late, next.ID)
	}
	f.finish(again, written)
	f.want(late.ID, queue.Queued)
	if j := f.one(); j.ID != late.ID {
		f.Errorf("claimed %+v, want %s", j, late.ID)
	}
	f.counts(1, 0)
}

func testRetriedLate(f *fixture) {
	dead := f.kill("/p")
	f.pass()
	f.add(page("/p"))
	taken := f.one()
	f.pass()
	if n, err := f.a.Retry(f.Context(), f.app, []string{dead}); err != nil || n != 1 {
		f.Fatalf("retried %d, %v", n, err)
	}
	f.finish(taken, written)
	if j := f.one(); j.ID != dead {
		f.Errorf("claimed %+v, want %s", j, dead)
	}
}

func testDropNext(f *fixture) {
	first := f.add(page("/p"))
	taken := f.one()
	next := f.add(page("/p"))
	if n, err := f.a.Drop(f.Context(), f.app, []string{next.ID}); err != nil || n != 1 {
		f.Fatalf("dropped %d, %v", n, err)
	}
	other := f.add(page("/p"))
	if other.Collapsed {
		f.Fatal("collapsed with a job that was dropped, or is claimed")
	}
	f.pass()
	f.none()
	f.finish(taken, queue.Result{Verdict: queue.TryAgain, Reason: "r", Delay: time.Millisecond})
	if j := f.one(); j.ID != first.ID {
		f.Errorf("claimed %+v, want the second attempt", j)
	}
	f.pass()
	f.none()
	f.counts(2, 0)
}

func testSettle(f *fixture) {
	f.add(page("/p"))
	first := f.one()
	next := f.add(page("/p"))
	f.finish(first, written)
	second := f.one()
	if second.ID != next.ID {
		f.Errorf("claimed %+v, want %s", second, next.ID)
	}
	f.settled(first, second, 300*time.Millisecond)
	f.finish(second, written)
	late := f.add(page("/p")) // after it has ended
	third := f.one()
	if third.ID != late.ID {
		f.Errorf("claimed %+v, want %s", third, late.ID)
	}
	f.settled(second, third, 300*time.Millisecond)
}

// settled says that a path was claimed no sooner than it may be, by the queue's own clock: a test's begins when a claim has
// been answered, which may be later by any time.
func (f *fixture) settled(before, after queue.Job, settle time.Duration) {
	f.Helper()
	if took := time.Duration(after.Claimed-before.Claimed) * time.Millisecond; took < settle {
		f.Errorf("claimed again %v after the claim before, want at least %v", took, settle)
	}
}

func testPriorities(f *fixture) {
	for _, p := range []queue.Priority{queue.Bulk, queue.Normal, queue.Interactive} {
		_, err := f.a.Enqueue(f.Context(), f.app, paths(40, p))
		f.must(err)
	}
	count := map[queue.Priority]int{}
	var first []queue.Job
	for range 32 {
		j := f.claim(1)
		if len(j) != 1 {
			f.Fatalf("claimed %+v", j)
		}
		first = append(first, j...)
		count[j[0].Priority]++
	}
	if count[queue.Interactive] != 24 || count[queue.Normal] != 6 || count[queue.Bulk] != 2 {
		f.Errorf("of 32 claims: %v", count)
	}
	if first[0].Path != "/1/0" || first[1].Path != "/1/1" {
		f.Errorf("the order is %s, %s", first[0].Path, first[1].Path)
	}
}

func testBuildsStarve(f *fixture) {
	free := map[string]int{build: 1, "b2": 1, "b3": 1}
	want := map[string]bool{"": true}
	for b := range free {
		want[b] = true
	}
	_, err := f.a.Enqueue(f.Context(), f.app, paths(200, queue.Interactive))
	f.must(err)
	for _, p := range []queue.Priority{queue.Normal, queue.Bulk} {
		for b := range want {
			requests := paths(100, p)
			for i := range requests {
				requests[i].Build = b
			}
			_, err := f.a.Enqueue(f.Context(), f.app, requests)
			f.must(err)
		}
	}
	had := map[queue.Priority]map[string]bool{queue.Interactive: {}, queue.Normal: {}, queue.Bulk: {}}
	for range 16 * len(want) {
		c, err := f.b.Claim(f.Context(), f.app, queue.ClaimOptions{By: "worker", Limit: 1, Free: free})
		f.must(err)
		if len(c.Jobs) != 1 {
			f.Fatalf("claimed %+v", c.Jobs)
		}
		had[c.Jobs[0].Priority][c.Jobs[0].Build] = true
	}
	for _, p := range []queue.Priority{queue.Normal, queue.Bulk} {
		if len(had[p]) != len(want) {
			f.Errorf("of priority %d, jobs of the builds %v were claimed, want of %v", p, had[p], want)
		}
	}
}

func testFailures(f *fixture) {
	const delay = 100 * time.Millisecond
	t := f.add(page("/p"))
	var due int64 // by the queue's own clock: the test's may be late
	for attempt := range 3 {
		j := f.one()
		if j.Claimed < due {
			f.Errorf("tried again %d ms before it was due", due-j.Claimed)
		}
		finished := time.Now()
		f.finish(j, queue.Result{Verdict: queue.TryAgain, Reason: "500", HTTPStatus: 500, Delay: delay})
		if attempt < 2 {
			j := f.want(t.ID, queue.Failed)
			due = j.RetryAt
			if j.Reason != "500" || j.HTTPStatus != 500 || due < j.Claimed+delay.Milliseconds() || j.Attempt != attempt+1 {
				f.Errorf("failed: %+v", j)
			}
			if again := f.add(page("/p")); !again.Collapsed || again.ID != t.ID {
				f.Error("a job that is tried again is not that of its path")
			}
			f.notYet(finished.Add(delay - 5*time.Millisecond)) // the queue counts whole milliseconds
		}
	}
	if j := f.want(t.ID, queue.Dead); j.Reason != "500" || j.Attempt != 3 || !j.Ended() {
		f.Errorf("dead: %+v", j)
	}
	f.none()
	f.counts(0, 1)
}

// notYet says that there is a job, and that it is not due before that time. After it, the job may be had, and goes back.
func (f *fixture) notYet(due time.Time) {
	f.Helper()
	c, err := f.b.Claim(f.Context(), f.app, options(1))
	f.must(err)
	if time.Now().Before(due) && (len(c.Jobs) != 0 || c.Next <= 0 || c.Next > 100*time.Millisecond) {
		f.Errorf("%v before it is due: %+v", time.Until(due), c)
	}
	for _, j := range c.Jobs {
		f.finish(j, queue.Result{Verdict: queue.GiveBack})
	}
}

func (f *fixture) kill(path string) string {
	f.Helper()
	t := f.add(page(path))
	f.finish(f.one(), queue.Result{Verdict: queue.GiveUp, Reason: "for " + path})
	return t.ID
}

func testDead(f *fixture) {
	one, two, three := f.kill("/1"), f.kill("/2"), f.kill("/3")
	jobs, _, err := f.a.List(f.Context(), f.app, queue.ListOptions{State: queue.Dead, Limit: 10})
	f.must(err)
	if len(jobs) != 3 {
		f.Fatalf("dead: %+v", jobs)
	}
	if n, err := f.a.Retry(f.Context(), f.app, []string{one, "unknown"}); err != nil || n != 1 {
		f.Errorf("retried %d, %v", n, err)
	}
	if n, err := f.a.Retry(f.Context(), f.app, []string{one}); err != nil || n != 0 {
		f.Errorf("retried what waits: %d, %v", n, err)
	}
	j := f.one()
	if j.ID != one || j.Attempt != 1 {
		f.Errorf("claimed %+v", j)
	}
	if n, err := f.a.Drop(f.Context(), f.app, []string{one, two}); err != nil || n != 1 {
		f.Errorf("dropped %d, %v; one of them is claimed", n, err)
	}
	f.counts(1, 1)
	// The path of a dead job goes on without it; then it has no work left.
	next := f.add(page("/3"))
	if next.Collapsed {
		f.Error("collapsed with a dead job")
	}
	if n, err := f.a.Retry(f.Context(), f.app, []string{three}); err != nil || n != 1 {
		f.Errorf("retried %d, %v", n, err)
	}
	if j := f.one(); j.ID != next.ID {
		f.Errorf("claimed %+v", j)
	}
	f.none()
	f.counts(2, 0)
	waiting := f.add(page("/4"))
	if n, err := f.a.Drop(f.Context(), f.app, []string{waiting.ID}); err != nil || n != 1 {
		f.Errorf("dropped %d, %v", n, err)
	}
	f.none()
	f.counts(2, 0)
}

func testDeadBound(f *fixture) {
	var ids []string
	for i := range 5 {
		ids = append(ids, f.kill(fmt.Sprint("/", i)))
		died := time.Now()
		f.eventually("time passes, so that they have an order", func() bool { return time.Since(died) > 3*time.Millisecond })
	}
	jobs, _, err := f.a.List(f.Context(), f.app, queue.ListOptions{State: queue.Dead, Limit: 10})
	f.must(err)
	if len(jobs) != 3 || jobs[0].ID != ids[4] || jobs[2].ID != ids[2] {
		f.Errorf("dead: %+v", jobs)
	}
	f.counts(0, 3)
}

func testFull(f *fixture) {
	for _, step := range []struct {
		priority queue.Priority
		room     int
	}{{queue.Bulk, 160}, {queue.Normal, 20}, {queue.Interactive, 20}} {
		tickets, err := f.a.Enqueue(f.Context(), f.app, paths(180, step.priority))
		if !errors.Is(err, queue.ErrFull) || len(tickets) != step.room {
			f.Errorf("priority %d: %d tickets, %v; want %d and that it is full", step.priority, len(tickets), err, step.room)
		}
	}
	// What is there takes no room.
	if tickets, err := f.a.Enqueue(f.Context(), f.app, paths(160, queue.Bulk)); err != nil || len(tickets) != 160 {
		f.Errorf("%d tickets, %v", len(tickets), err)
	}
	f.counts(200, 0)
	f.finish(f.claim(1)[0], written)
	f.add(page("/p"))
}

func testUnclaimed(f *fixture) {
	t := f.add(page("/p"))
	f.eventually("it is dead", func() bool {
		_, err := f.b.Claim(f.Context(), f.app, queue.ClaimOptions{})
		f.must(err)
		return f.get(t.ID).State == queue.Dead
	})
	f.counts(0, 1)
}

func testRoomAgain(f *fixture) {
	if _, err := f.a.Enqueue(f.Context(), f.app, paths(20, queue.Interactive)); !errors.Is(err, queue.ErrFull) {
		f.Fatalf("20 jobs in a queue for 10: %v", err)
	}
	f.eventually("one more is taken", func() bool {
		_, err := f.a.Enqueue(f.Context(), f.app, []queue.Request{page("/p")})
		return err == nil
	})
}

func testForgotten(f *fixture) {
	t := f.add(page("/p"))
	f.finish(f.one(), written)
	f.eventually("it is forgotten", func() bool {
		f.none()
		jobs, err := f.a.Get(f.Context(), f.app, []string{t.ID})
		f.must(err)
		return len(jobs) == 0
	})
}

func testList(f *fixture) {
	_, err := f.a.Enqueue(f.Context(), f.app, paths(50, queue.Normal))
	f.must(err)
	for _, j := range f.claim(10) {
		f.finish(j, written)
	}
	for state, want := range map[queue.State]int{0: 50, queue.Queued: 40, queue.Done: 10, queue.Dead: 0} {
		seen, from := map[string]bool{}, ""
		for range 1000 {
			jobs, next, err := f.a.List(f.Context(), f.app, queue.ListOptions{State: state, Limit: 7, From: from})
			f.must(err)
			for _, j := range jobs {
				seen[j.ID] = true
			}
			if from = next; from == "" {
				break
			}
		}
		if len(seen) != want {
			f.Errorf("state %d: %d jobs, want %d", state, len(seen), want)
		}
	}
	if _, _, err := f.a.List(f.Context(), f.app, queue.ListOptions{From: "x"}); err == nil || errors.Is(err, queue.ErrUnavailable) {
		f.Errorf("a place that is none: %v", err)
	}
}
