package webhook

import (
	"context"
	"log/slog"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// jobReport is a job as those who wait see it.
type jobReport struct {
	JobID   string `json:"job_id"`
	Path    string `json:"path,omitempty"`
	State   string `json:"state"`
	Outcome string `json:"outcome,omitempty"`
	Status  int    `json:"http_status,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

var stateNames = map[queue.State]string{
	0: "unknown", queue.Queued: "queued", queue.Taken: "claimed", queue.Done: "done", queue.Failed: "failed", queue.Dead: "dead",
}

// maxAwaited bounds the jobs of one request that is waited for.
const maxAwaited = 1000

// lookEvery is the least time between two looks of who waits: jobs may end by the hundred.
const lookEvery = 50 * time.Millisecond

// await waits until jobs have ended, and says how they stand. True: they have. Whoever asks for more than there is room for
// is answered at once.
func (h *Hook) await(ctx context.Context, app string, ids []string, limit time.Duration, stops <-chan struct{}) ([]jobReport, bool) {
	if len(ids) > maxAwaited {
		return nil, false
	}
	select {
	case h.waiters <- struct{}{}:
		defer func() { <-h.waiters }()
	default:
		return nil, false
	}
	ended, stop := h.config.Jobs.Listen(app, queue.Ended)
	defer stop()
	over := time.NewTimer(limit)
	defer over.Stop()
	again := time.NewTimer(queue.Recheck)
	defer again.Stop()
	for {
		jobs, finished := h.look(ctx, app, ids)
		if finished {
			return jobs, true
		}
		again.Reset(queue.Recheck)
		for heard, waits := ended, true; waits; {
			select {
			case <-heard:
				heard = nil // what else there is until then, that look will see
				again.Reset(lookEvery)
			case <-again.C:
				waits = false
			case <-over.C:
				return h.look(ctx, app, ids)
			case <-stops:
				return jobs, false
			case <-ctx.Done():
				return jobs, false
			}
		}
	}
}

// look says how jobs stand. A job that is gone has ended.
func (h *Hook) look(ctx context.Context, app string, ids []string) ([]jobReport, bool) {
	jobs, err := h.config.Jobs.Get(ctx, app, ids)
	if err != nil {
		h.log.Debug("look at jobs", slog.Any("error", err))
		return nil, false
	}
	known := make(map[string]queue.Job, len(jobs))
	for _, j := range jobs {
		known[j.ID] = j
	}
	out := make([]jobReport, 0, len(ids))
	finished := true
	for _, id := range ids {
		j, ok := known[id]
		finished = finished && (!ok || j.Ended())
		out = append(out, jobReport{
			JobID: id, Path: j.Path, State: stateNames[j.State], Outcome: j.Outcome.String(), Status: j.HTTPStatus, Attempt: j.Attempt, Reason: j.Reason,
		})
	}
	return out, finished
}
