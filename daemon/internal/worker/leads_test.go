package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
	"github.com/isrd/isrd/daemon/internal/worker"
)

func TestWhoWorks(t *testing.T) {
	dedicated, first, second := offer(1), offer(1), offer(1)
	dedicated.Role, first.Ordinal, second.Ordinal = "dedicated", 0, 1
	for _, tc := range []struct {
		mode    worker.Mode
		ordinal int
		offer   queue.Offer
		want    bool
	}{
		{worker.Any, -1, offer(1), true}, {worker.Any, -1, offer(0), false}, {worker.Off, 0, dedicated, false},
		{worker.Dedicated, -1, dedicated, true}, {worker.Dedicated, -1, offer(1), false},
		{worker.Ordinal, -1, first, true}, {worker.Ordinal, 0, second, false}, {worker.Ordinal, 0, offer(1), true},
		{worker.Ordinal, 3, offer(1), false}, {worker.Ordinal, -1, offer(1), false}, {worker.Leader, -1, offer(1), true},
	} {
		inBubble(t, func(b *bench) {
			w, _ := b.start(worker.Config{Mode: tc.mode, Ordinal: tc.ordinal})
			p := new(process)
			defer w.Join(tc.offer, p)()
			b.add("/p")
			time.Sleep(time.Second)
			if got := len(p.paths()) == 1; got != tc.want {
				b.Errorf("%s, ordinal %d, %+v: works: %v", tc.mode, tc.ordinal, tc.offer, got)
			}
		})
	}
}

// cut is a queue that a daemon reaches until it is cut off, or dies.
type cut struct {
	*queue.Memory
	mu  sync.Mutex
	off bool
}

func (c *cut) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = true
}

func (c *cut) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return fmt.Errorf("%w: cut off", queue.ErrUnavailable)
	}
	return nil
}

func (c *cut) Claim(ctx context.Context, app string, opt queue.ClaimOptions) (queue.Claimed, error) {
	if err := c.check(); err != nil {
		return queue.Claimed{}, err
	}
	return c.Memory.Claim(ctx, app, opt)
}

func (c *cut) Lead(ctx context.Context, app, holder string, ttl time.Duration) (queue.Term, error) {
	if err := c.check(); err != nil {
		return queue.Term{}, err
	}
	return c.Memory.Lead(ctx, app, holder, ttl)
}

func (c *cut) Resign(ctx context.Context, app, holder string) error {
	return errors.Join(c.check(), c.Memory.Resign(ctx, app, holder))
}

func TestOneLeaderWorksAndIsFollowedWithinItsLease(t *testing.T) {
	inBubble(t, func(b *bench) {
		const ttl = 5 * time.Second
		mine := &cut{Memory: b.Memory}
		one, _ := b.start(worker.Config{Queue: mine, Mode: worker.Leader, LeaderTTL: ttl, Instance: "one"})
		p, q := new(process), new(process)
		defer one.Join(offer(1), p)()
		synctest.Wait()
		two, stop := b.start(worker.Config{Mode: worker.Leader, LeaderTTL: ttl, Instance: "two"})
		defer two.Join(offer(1), q)()
		for i := range 100 {
			b.add(fmt.Sprint("/", i))
			time.Sleep(300 * time.Millisecond)
		}
		if len(p.paths()) != 100 || len(q.paths()) != 0 {
			b.Fatalf("the leader did %d of 100, the other %d", len(p.paths()), len(q.paths()))
		}
		mine.sever()
		died := time.Now()
		job := b.add("/after")[0]
		time.Sleep(ttl)
		b.want(job, queue.Done)
		if len(q.paths()) != 1 || q.begins[0].Sub(died) >= ttl || len(p.paths()) != 100 {
			b.Errorf("handed over after %v; the one that was cut off did %d", q.begins[0].Sub(died), len(p.paths()))
		}
		// One that stops in order resigns.
		three, _ := b.start(worker.Config{Mode: worker.Leader, LeaderTTL: ttl, Instance: "three"})
		r := new(process)
		defer three.Join(offer(1), r)()
		synctest.Wait()
		stop()
		job = b.add("/resigned")[0]
		time.Sleep(10 * time.Millisecond)
		b.want(job, queue.Done)
	})
}

// In the middle of a rolling deployment those who work may all be of one build. The pages of the other are not forgotten:
// who enqueues makes jobs for it too, which wait for a process of it that works.
func TestABuildIsKnownWhoseProcessesGetNoJobs(t *testing.T) {
	second := offer(1)
	second.Ordinal = 1
	for mode, o := range map[worker.Mode]queue.Offer{worker.Dedicated: offer(1), worker.Ordinal: second, worker.Leader: offer(1), worker.Off: offer(1)} {
		inBubble(t, func(b *bench) {
			one, _ := b.start(worker.Config{Mode: mode, Ordinal: -1, Instance: "one"})
			works := offer(1)
			works.Role, works.Ordinal = "dedicated", 0
			defer one.Join(works, new(process))()
			synctest.Wait()
			two, _ := b.start(worker.Config{Mode: mode, Ordinal: -1, Instance: "two"})
			o.Build = "new"
			p := new(process)
			leave := two.Join(o, p)
			time.Sleep(2 * queue.PresenceTTL)
			if got, err := b.Builds(b.Context(), app); err != nil || fmt.Sprint(got) != "[b new]" {
				b.Errorf("%s: builds %v, %v", mode, got, err)
			}
			tickets, err := b.Enqueue(b.Context(), app, []queue.Request{{Path: "/p", Build: "new", Priority: queue.Interactive}})
			if err != nil {
				b.Fatal(err)
			}
			time.Sleep(2 * queue.PresenceTTL)
			b.want(tickets[0], queue.Queued)
			if len(p.paths()) > 0 {
				b.Errorf("%s: a process that is not to work got a job", mode)
			}
			leave()
			time.Sleep(2 * queue.PresenceTTL)
			if got, err := b.Builds(b.Context(), app); err != nil || fmt.Sprint(got) != "[b]" {
				b.Errorf("%s: builds %v, %v, when the process has gone", mode, got, err)
			}
		})
	}
}
