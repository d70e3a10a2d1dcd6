package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/isrd/isrd/daemon/internal/queue"
	"github.com/isrd/isrd/daemon/internal/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const app, build = "shop", "b"

// process is a Next.js process: a render takes a while and writes the page, rendered at the position after the worker's.
type process struct {
	takes time.Duration
	do    func(ctx context.Context, t queue.Task) (queue.Report, error) // instead

	mu     sync.Mutex
	now    int
	most   int
	begun  []string
	begins []time.Time
}

func (p *process) Regenerate(ctx context.Context, t queue.Task) (queue.Report, error) {
	p.mu.Lock()
	p.now++
	p.most = max(p.most, p.now)
	p.begun, p.begins = append(p.begun, t.Path), append(p.begins, time.Now())
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.now--
	}()
	if p.do != nil {
		return p.do(ctx, t)
	}
	select {
	case <-time.After(p.takes):
		return rendered(t, 2), nil
	case <-ctx.Done():
		return queue.Report{}, context.Cause(ctx)
	}
}

func (p *process) paths() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.begun)
}

// rendered is the report of a page that was written at a position; the worker's is 1.
func rendered(t queue.Task, seq uint64) queue.Report {
	return queue.Report{HTTPStatus: 200, NextCache: "REVALIDATED", Writes: []queue.Write{{Name: t.Path, Epoch: 1, Seq: seq, Kept: true}}}
}

// bench is a queue with workers, in a bubble.
type bench struct {
	*testing.T
	*queue.Memory
}

func inBubble(t *testing.T, test func(*bench)) {
	synctest.Test(t, func(t *testing.T) { test(&bench{T: t, Memory: queue.NewMemory(queue.Config{})}) })
}

func (b *bench) start(cfg worker.Config) (*worker.Worker, context.CancelFunc) {
	if cfg.Queue == nil {
		cfg.Queue = b.Memory
	}
	cfg.Position = func(context.Context, string) (epoch, seq uint64, err error) { return 1, 1, nil }
	cfg.Random = func() float64 { return 0.5 }
	w := worker.New(cfg)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(stop)
	return w, stop
}

func offer(concurrency int) queue.Offer {
	return queue.Offer{App: app, Build: build, Instance: "web-0", Concurrency: concurrency, Ordinal: -1}
}

func (b *bench) add(paths ...string) []queue.Ticket {
	b.Helper()
	var requests []queue.Request
	for _, p := range paths {
		requests = append(requests, queue.Request{Path: p, Build: build, Priority: queue.Interactive})
	}
	tickets, err := b.Enqueue(b.Context(), app, requests)
	if err != nil {
		b.Fatal(err)
	}
	return tickets
}

func (b *bench) job(t queue.Ticket) queue.Job {
	b.Helper()
	jobs, err := b.Get(b.Context(), app, []string{t.ID})
	if err != nil || len(jobs) != 1 {
		b.Fatal(jobs, err)
	}
	return jobs[0]
}

func (b *bench) want(t queue.Ticket, state queue.State) queue.Job {
	b.Helper()
	j := b.job(t)
	if j.State != state {
		b.Errorf("state %d of %+v, want %d", j.State, j, state)
	}
	return j
}

func TestAJobIsDoneAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{Instance: "node-1"})
		p := &process{takes: time.Second}
		defer w.Join(offer(1), p)()
		synctest.Wait()
		job := b.add("/p")[0]
		time.Sleep(time.Millisecond)
		if j := b.want(job, queue.Taken); j.By != "node-1" {
			b.Errorf("claimed by %q", j.By)
		}
		time.Sleep(time.Second)
		if j := b.want(job, queue.Done); j.Outcome != queue.Written || j.Attempt != 1 {
			b.Errorf("%+v", j)
		}
	})
}

// Next.js 15 and 16 let a request on demand join a render that runs; its data may be older than the request.
func TestARenderThatHadBegunIsNotTheJobs(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{})
		calls := 0
		p := &process{do: func(_ context.Context, t queue.Task) (queue.Report, error) {
			calls++
			return rendered(t, uint64(calls)), nil //nolint:gosec // small
		}}
		defer w.Join(offer(1), p)()
		job := b.add("/p")[0]
		time.Sleep(time.Second)
		if j := b.want(job, queue.Done); calls != 2 || j.Attempt != 1 {
			b.Errorf("asked %d times, %+v", calls, j)
		}
	})
}

func TestNoProcessHasMoreThanItOffers(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{Concurrency: 4})
		p, q := &process{takes: time.Second}, &process{takes: time.Second}
		defer w.Join(offer(3), p)()
		defer w.Join(offer(2), q)()
		var paths []string
		for i := range 40 {
			paths = append(paths, fmt.Sprint("/", i))
		}
		tickets := b.add(paths...)
		time.Sleep(10*time.Second + 100*time.Millisecond)
		for _, t := range tickets {
			b.want(t, queue.Done)
		}
		if p.most > 3 || q.most > 2 || len(p.paths())+len(q.paths()) != 40 {
			b.Errorf("at most %d of 3 and %d of 2 at once; %d and %d", p.most, q.most, len(p.paths()), len(q.paths()))
		}
	})
}

func TestJobsGoToTheirBuild(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{})
		blue, green := offer(2), offer(2)
		blue.Build, green.Build = "blue", "green"
		p, q := new(process), new(process)
		defer w.Join(blue, p)()
		defer w.Join(green, q)()
		_, err := b.Enqueue(b.Context(), app, []queue.Request{
			{Path: "/1", Build: "green", Priority: 1}, {Path: "/2", Build: "blue", Priority: 1}, {Path: "/3", Build: "red", Priority: 1},
			{Path: "/4", Priority: 1},
		})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		all := slices.Sorted(slices.Values(slices.Concat(p.paths(), q.paths())))
		if !slices.Contains(q.paths(), "/1") || !slices.Contains(p.paths(), "/2") || !slices.Equal(all, []string{"/1", "/2", "/4"}) {
			b.Errorf("blue %q, green %q", p.paths(), q.paths())
		}
	})
}

func TestTheJobOfAProcessThatGoesIsAnothersAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{})
		gone := make(chan struct{})
		dying := &process{do: func(context.Context, queue.Task) (queue.Report, error) {
			<-gone
			return queue.Report{}, fmt.Errorf("job: %w", queue.ErrGone)
		}}
		leave := w.Join(offer(1), dying)
		job := b.add("/p")[0]
		synctest.Wait()
		b.want(job, queue.Taken)
		p := &process{takes: time.Second}
		defer w.Join(offer(1), p)()
		begun := time.Now()
		leave()
		close(gone)
		time.Sleep(time.Second + time.Millisecond)
		if j := b.want(job, queue.Done); j.Attempt != 2 || time.Since(begun) > 1100*time.Millisecond {
			b.Errorf("%+v after %v", j, time.Since(begun))
		}
	})
}

func TestAPathThatAlwaysFailsDiesAndHoldsNobodyUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{})
		p := &process{do: func(_ context.Context, t queue.Task) (queue.Report, error) {
			if t.Path == "/poison" {
				return queue.Report{HTTPStatus: 500}, nil
			}
			return rendered(t, 2), nil
		}}
		defer w.Join(offer(1), p)()
		poison := b.add("/poison")[0]
		for i := range 100 {
			good := b.add(fmt.Sprint("/", i))[0]
			time.Sleep(500 * time.Millisecond)
			b.want(good, queue.Done)
		}
		if j := b.want(poison, queue.Dead); j.Attempt != 5 || j.Reason != "status 500" {
			b.Errorf("%+v", j)
		}
		var at []time.Duration
		for i, path := range p.begun {
			if path == "/poison" {
				at = append(at, p.begins[i].Sub(p.begins[0]).Round(10*time.Millisecond))
			}
		}
		// 3/4 of 1, 2, 4 and 8 seconds: the jitter is in the middle.
		if len(at) != 5 || at[4] < 11*time.Second || at[4] > 13*time.Second {
			b.Errorf("attempts at %v, want them after 0, 0.75, 2.25, 5.25 and 11.25 s", at)
		}
	})
}

func TestAnAttemptIsBounded(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{Timeout: 5 * time.Second})
		p := &process{takes: time.Hour}
		defer w.Join(offer(1), p)()
		job := b.add("/p")[0]
		time.Sleep(7*time.Second + 10*time.Millisecond)
		if j := b.want(job, queue.Failed); j.Reason != "no answer in time: 5s" {
			b.Errorf("%+v", j)
		}
	})
}

func TestTheRateIsKept(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, _ := b.start(worker.Config{Rate: 10})
		p := new(process)
		defer w.Join(offer(8), p)()
		synctest.Wait()
		var paths []string
		for i := range 50 {
			paths = append(paths, fmt.Sprint("/", i))
		}
		b.add(paths...)
		time.Sleep(2 * time.Second)
		if n := len(p.paths()); n < 18 || n > 22 {
			b.Errorf("%d jobs in 2 s at 10 a second", n)
		}
		time.Sleep(3 * time.Second)
		if n := len(p.paths()); n < 48 {
			b.Errorf("%d jobs in 5 s at 10 a second", n)
		}
	})
}

func TestWhatIsUnderWayWhenTheDaemonStopsIsFinishedOrGivenBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		w, stop := b.start(worker.Config{Drain: 3 * time.Second})
		p := &process{do: func(ctx context.Context, t queue.Task) (queue.Report, error) {
			select {
			case <-time.After(map[string]time.Duration{"/short": 2 * time.Second, "/long": time.Minute}[t.Path]):
				return rendered(t, 2), nil
			case <-ctx.Done():
				return queue.Report{}, context.Cause(ctx)
			}
		}}
		defer w.Join(offer(2), p)()
		jobs := b.add("/short", "/long")
		time.Sleep(time.Second)
		later := b.add("/later")[0]
		begun := time.Now()
		stop()
		if took := time.Since(begun); took != 3*time.Second {
			b.Errorf("stopped after %v", took)
		}
		b.want(jobs[0], queue.Done)
		for _, t := range []queue.Ticket{jobs[1], later} {
			if j := b.want(t, queue.Queued); j.Attempt != 0 {
				b.Errorf("given back: %+v", j)
			}
		}
	})
}
