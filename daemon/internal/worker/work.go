package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// work does one job and ends its claim. m is nil if the process has gone before the job could be handed over.
func (t *team) work(ctx context.Context, j queue.Job, m *member) {
	defer t.vacate(m)
	w := t.worker
	w.metrics.running.Inc()
	defer w.metrics.running.Dec()
	w.metrics.waited(j)
	begun := time.Now()
	job, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.mu.Lock()
	t.claims[j.Claim()] = cancel
	t.mu.Unlock()
	result, ours := t.attempt(job, j, m)
	if ours {
		result.Reason = printable(result.Reason)
		ours = t.finish(ctx, j, result)
	}
	t.mu.Lock()
	delete(t.claims, j.Claim())
	t.mu.Unlock()
	w.metrics.ended(t.app, result, ours, time.Since(begun))
	t.log.Debug("job", slog.String("job", j.ID), slog.String("path", j.Path), slog.Int("attempt", j.Attempt),
		slog.String("outcome", result.Outcome.String()), slog.String("reason", result.Reason), slog.Bool("ours", ours))
}

// maxAgain bounds how often a process is asked again at once that joined the request to a render under way: each of
// those has ended by then.
const maxAgain = 4

// attempt hands the job to the process until it has rendered for it. False: the claim was lost, and there is nothing to
// end.
func (t *team) attempt(ctx context.Context, j queue.Job, m *member) (queue.Result, bool) {
	if m == nil {
		return queue.Result{Verdict: queue.GiveBack, Reason: "its process went away"}, true
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.worker.config.Timeout+grace, errTimeout)
	defer cancel()
	deadline := time.Now().Add(t.worker.config.Timeout)
	for range maxAgain {
		epoch, seq, err := t.worker.config.Position(ctx, t.app)
		if err != nil {
			return queue.Result{Verdict: queue.TryAgain, Reason: err.Error(), Delay: t.delay(j.Attempt)}, true
		}
		report, err := m.process.Regenerate(ctx, queue.Task{ID: j.ID, Path: j.Path, OnlyIfCached: j.OnlyIfCached, Within: time.Until(deadline)})
		if err != nil {
			return t.unanswered(ctx, j, m, err)
		}
		result, again := judge(j, report, epoch, seq)
		if again {
			continue
		}
		if result.Verdict == queue.TryAgain {
			result.Delay = t.delay(j.Attempt)
		}
		return result, true
	}
	return queue.Result{Verdict: queue.TryAgain, Reason: "Next.js joined it to renders that had begun before", Delay: t.delay(j.Attempt)}, true
}

// grace is how much longer the daemon waits than it told the process.
const grace = 2 * time.Second

// unanswered says what becomes of a job that the process did not answer.
func (t *team) unanswered(ctx context.Context, j queue.Job, m *member, err error) (queue.Result, bool) {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLost):
		return queue.Result{}, false
	case errors.Is(cause, errStopping):
		return queue.Result{Verdict: queue.GiveBack, Reason: errStopping.Error()}, true
	case errors.Is(err, queue.ErrGone):
		// Another process can have it at once, unless it is the job that ends them.
		r := queue.Result{Verdict: queue.TryAgain, Reason: fmt.Sprintf("process %q went away while it worked on it", m.Instance)}
		if j.Attempt > 1 {
			r.Delay = t.delay(j.Attempt - 1)
		}
		return r, true
	case errors.Is(cause, errTimeout):
		err = fmt.Errorf("%w: %v", errTimeout, t.worker.config.Timeout)
	}
	return queue.Result{Verdict: queue.TryAgain, Reason: err.Error(), Delay: t.delay(j.Attempt)}, true
}

const (
	firstDelay = time.Second
	maxDelay   = 5 * time.Minute
)

// delay is how long to wait after a failed attempt: twice as long each time, and between half and all of it, so that jobs
// that failed together are not tried again together.
func (t *team) delay(attempt int) time.Duration {
	d := min(firstDelay<<min(max(attempt-1, 0), 16), maxDelay)
	return d/2 + time.Duration(t.worker.config.Random()*float64(d/2))
}

// finish ends the claim; while the store is away it is tried for as long as the claim may live. False: it was over.
func (t *team) finish(ctx context.Context, j queue.Job, r queue.Result) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.worker.config.Lease)
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		ours, err := t.worker.config.Queue.Finish(ctx, t.app, j.Claim(), r)
		if err == nil {
			return ours
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.log.Warn("a job's end could not be told to the queue; it will be done again", slog.String("job", j.ID), slog.Any("error", err))
			return false
		}
	}
}

// maxReason bounds what a process says, in bytes.
const maxReason = 500

// printable makes a text fit for the queue.
func printable(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxReason)], "�")
}
