package server

import (
	"context"
	"fmt"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/queue"
)

// maxJobs bounds what a process may offer to do at the same time.
const maxJobs = 256

// offer gives the process to the workers, if it offers itself.
func (ss *session) offer(h *isrdv1.Hello) (leave func()) {
	o := h.GetWorker()
	if o.GetConcurrency() == 0 || ss.service.config.Workers == nil {
		return func() {}
	}
	offer := queue.Offer{
		App: ss.who.app, Build: ss.who.build, Instance: h.GetInstance(), Concurrency: int(min(o.GetConcurrency(), maxJobs)),
		Role: o.GetRole(), Ordinal: -1,
	}
	if o.Ordinal != nil {
		offer.Ordinal = int(o.GetOrdinal())
	}
	return ss.service.config.Workers.Join(offer, ss)
}

// jobs are those that the process works on. They are guarded by the session's mutex. The zero value is ready.
type jobs struct {
	last uint64
	open map[uint64]*openJob // by the id of the frame
}

// openJob is one job, and the pages that the process has written since it got it.
type openJob struct {
	id     string
	writes []queue.Write
	done   chan *isrdv1.JobResult
}

// maxWrites bounds the writes that are kept for one job; the last ones stay.
const maxWrites = 1024

var _ queue.Process = (*session)(nil)

// Regenerate implements queue.Process.
func (ss *session) Regenerate(ctx context.Context, t queue.Task) (queue.Report, error) {
	j := &openJob{id: t.ID, done: make(chan *isrdv1.JobResult, 1)}
	frame := ss.begin(j)
	defer ss.end(frame)
	out := &isrdv1.SessionResponse{Id: frame, Frame: &isrdv1.SessionResponse_Job{Job: &isrdv1.Job{
		JobId: t.ID, Path: t.Path, OnlyIfCached: t.OnlyIfCached, DeadlineMs: millis(t.Within),
	}}}
	select {
	case ss.out <- out:
	case <-ss.gone:
		return queue.Report{}, fmt.Errorf("hand over job %s: %w", t.ID, queue.ErrGone)
	case <-ctx.Done():
		return queue.Report{}, fmt.Errorf("hand over job %s: %w", t.ID, context.Cause(ctx))
	}
	select {
	case r := <-j.done:
		ss.mu.Lock()
		defer ss.mu.Unlock()
		return queue.Report{
			HTTPStatus: int(r.GetHttpStatus()), NextCache: r.GetNextCache(), Error: r.GetError(), TooLarge: r.GetTooLarge(),
			Name: r.GetKey().GetName(), Writes: j.writes,
		}, nil
	case <-ss.gone:
		return queue.Report{}, fmt.Errorf("job %s: %w", t.ID, queue.ErrGone)
	case <-ctx.Done():
		ss.withdraw(frame)
		return queue.Report{}, fmt.Errorf("job %s: %w", t.ID, context.Cause(ctx))
	}
}

// withdraw tells the process that nobody waits for a job any longer, so that its render's place is free for another. A
// process that takes nothing at the moment has its own deadline.
func (ss *session) withdraw(frame uint64) {
	select {
	case ss.out <- &isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_JobCancel{JobCancel: &isrdv1.JobCancel{Id: frame}}}:
	default:
	}
}

// begin opens a job and gives the id of its frame.
func (ss *session) begin(j *openJob) uint64 {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.jobs.open == nil {
		ss.jobs.open = make(map[uint64]*openJob)
	}
	ss.jobs.last++
	ss.jobs.open[ss.jobs.last] = j
	return ss.jobs.last
}

func (ss *session) end(frame uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.jobs.open, frame)
}

// answered ends the wait for a job, once.
func (ss *session) answered(frame uint64, r *isrdv1.JobResult) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if j := ss.jobs.open[frame]; j != nil && j.id == r.GetJobId() {
		select {
		case j.done <- r:
		default: // it was answered
		}
	}
}

// working reports whether the process works on any job.
func (ss *session) working() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.jobs.open) > 0
}

// wrote notes a write of the process for the jobs that it works on. What was not rendered for it is no such: the old value
// after a failed render, and build output.
func (ss *session) wrote(r *isrdv1.SetRequest, out *isrdv1.SetResponse) {
	if r.GetKey().GetSpace() != isrdv1.Space_SPACE_ROUTE || r.GetRewriteOf() != nil || r.GetOnlyIfAbsent() {
		return
	}
	w := queue.Write{
		Name: r.GetKey().GetName(), Epoch: out.GetVersion().GetEpoch(), Seq: out.GetVersion().GetSeq(),
		Kept:     out.GetOutcome() == isrdv1.Outcome_OUTCOME_ACCEPTED || out.GetOutcome() == isrdv1.Outcome_OUTCOME_REFUSED_OLDER,
		TooLarge: out.GetOutcome() == isrdv1.Outcome_OUTCOME_REFUSED_TOO_LARGE,
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, j := range ss.jobs.open {
		if len(j.writes) == maxWrites {
			j.writes = append(j.writes[:0:0], j.writes[1:]...)
		}
		j.writes = append(j.writes, w)
	}
}
