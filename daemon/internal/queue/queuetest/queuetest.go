// Package queuetest holds what every queue must do, as tests: one contract, every implementation.
package queuetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// Backend is what an implementation is tested as. It must be running.
type Backend interface {
	queue.Jobs
	queue.Work
}

// Open gives the queue as two daemons have it, or the one that there can be, running until the test ends. Every test uses
// an app of its own.
type Open func(t *testing.T, cfg queue.Config) (a, b Backend)

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they wait
			cfg := queue.Config{Settle: time.Millisecond, Lease: time.Minute}
			if test.config != nil {
				test.config(&cfg)
			}
			a, b := open(t, cfg)
			// Braces and blanks are part of the contract: an app may be called anything.
			test.run(&fixture{T: t, a: a, b: b, app: "shop {%} " + rand.Text()[:8]})
		})
	}
}

// Patience bounds every wait for something that is sure to happen.
const Patience = 10 * time.Second

type fixture struct {
	*testing.T
	a, b Backend
	app  string
}

const build = "3:b{1:green"

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func page(path string) queue.Request {
	return queue.Request{Path: path, Build: build, Priority: queue.Interactive}
}

// add enqueues one.
func (f *fixture) add(r queue.Request) queue.Ticket {
	f.Helper()
	tickets, err := f.a.Enqueue(f.Context(), f.app, []queue.Request{r})
	f.must(err)
	if len(tickets) != 1 || tickets[0].ID == "" {
		f.Fatalf("tickets %+v", tickets)
	}
	return tickets[0]
}

// options are a claim's of up to n jobs.
func options(n int) queue.ClaimOptions {
	return queue.ClaimOptions{By: "worker", Limit: n, Free: map[string]int{build: n}}
}

// claim takes up to n jobs, on the other daemon.
func (f *fixture) claim(n int) []queue.Job {
	f.Helper()
	c, err := f.b.Claim(f.Context(), f.app, options(n))
	f.must(err)
	return c.Jobs
}

// one takes the one job that there must be, in the end.
func (f *fixture) one() queue.Job {
	f.Helper()
	var jobs []queue.Job
	f.eventually("a job is due", func() bool {
		jobs = f.claim(2)
		return len(jobs) > 0
	})
	if len(jobs) != 1 || jobs[0].State != queue.Taken || jobs[0].Token == 0 {
		f.Fatalf("claimed %+v, want one", jobs)
	}
	return jobs[0]
}

func (f *fixture) none() {
	f.Helper()
	if jobs := f.claim(1); len(jobs) != 0 {
		f.Fatalf("claimed %+v, want none", jobs)
	}
}

func (f *fixture) finish(j queue.Job, r queue.Result) {
	f.Helper()
	ok, err := f.b.Finish(f.Context(), f.app, j.Claim(), r)
	f.must(err)
	if !ok {
		f.Fatalf("the claim of %+v was over", j)
	}
}

var written = queue.Result{Verdict: queue.Complete, Outcome: queue.Written, HTTPStatus: 200}

func (f *fixture) get(id string) queue.Job {
	f.Helper()
	jobs, err := f.a.Get(f.Context(), f.app, []string{"unknown", id})
	f.must(err)
	if len(jobs) != 1 || jobs[0].ID != id {
		f.Fatalf("job %s: got %+v", id, jobs)
	}
	return jobs[0]
}

func (f *fixture) want(id string, state queue.State) queue.Job {
	f.Helper()
	j := f.get(id)
	if j.State != state {
		f.Errorf("state %d of %+v, want %d", j.State, j, state)
	}
	return j
}

// counts are the jobs that are open and dead.
func (f *fixture) counts(open, dead int) {
	f.Helper()
	c, err := f.a.Claim(f.Context(), f.app, queue.ClaimOptions{})
	f.must(err)
	if c.Open != open || c.Dead != dead {
		f.Errorf("%d open and %d dead, want %d and %d", c.Open, c.Dead, open, dead)
	}
}

func (f *fixture) eventually(what string, look func() bool) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// pass lets some time pass, so that what follows is later for sure, and any path has settled.
func (f *fixture) pass() {
	f.Helper()
	begun := time.Now()
	f.eventually("time passes", func() bool { return time.Since(begun) > 5*time.Millisecond })
}

// heard waits for a signal.
func (f *fixture) heard(what string, signal <-chan struct{}) {
	f.Helper()
	select {
	case <-signal:
	case <-time.After(Patience):
		f.Fatalf("no signal of %s within %v", what, Patience)
	}
}

func paths(n int, priority queue.Priority) []queue.Request {
	requests := make([]queue.Request, n)
	for i := range requests {
		requests[i] = page(fmt.Sprintf("/%d/%d", priority, i))
		requests[i].Priority = priority
	}
	return requests
}
