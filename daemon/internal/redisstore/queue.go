package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// Queue implements queue.Jobs and queue.Work on the store's Redis. It is safe for concurrent use. Signals arrive while the
// store's Run is running.
type Queue struct {
	store  *Store
	config queue.Config
}

var (
	_ queue.Jobs = (*Queue)(nil)
	_ queue.Work = (*Queue)(nil)
)

// Queue returns the queue that is in this Redis.
func (s *Store) Queue(cfg queue.Config) *Queue { return &Queue{store: s, config: cfg.WithDefaults()} }

// run runs one of the queue's scripts. The error wraps queue.ErrUnavailable and says what was being done.
func (q *Queue) run(ctx context.Context, what string, sc Script, app string, args ...any) (fields, error) {
	c := q.config
	all := append([]any{
		q.store.keys.ready(app), q.store.keys.queueChannel(app), c.MaxDead, c.Attempts, c.Patience.Milliseconds(),
		c.Keep.Milliseconds(), c.KeepDead.Milliseconds(), c.Settle.Milliseconds(),
	}, args...)
	reply, err := q.store.run(ctx, sc, q.store.config.small(), q.store.keys.queue(app), all...)
	if err != nil {
		return fields{}, fmt.Errorf("%s of %q: %w: %w", what, app, queue.ErrUnavailable, err)
	}
	return fields{list: reply}, nil
}

// unexpected says that a script's reply is not one of its own.
func unexpected(what, app string) error {
	return fmt.Errorf("%s of %q: %w: unexpected reply", what, app, queue.ErrUnavailable)
}

// table reads a table within a reply.
func (f *fields) table() fields {
	list, ok := f.next().([]any)
	f.bad = f.bad || !ok
	return fields{list: list}
}

// chunk is how many jobs one script adds: it keeps Redis for about a millisecond, and others go between.
const chunk = 25

// Enqueue implements queue.Jobs.
func (q *Queue) Enqueue(ctx context.Context, app string, requests []queue.Request) ([]queue.Ticket, error) {
	tickets := make([]queue.Ticket, 0, len(requests))
	for some := range slices.Chunk(requests, chunk) {
		args := []any{q.config.Limit(queue.Interactive), q.config.Limit(queue.Normal), q.config.Limit(queue.Bulk)}
		for _, r := range some {
			args = append(args, rand.Text(), url.PathEscape(r.Build), r.Path, int(r.Priority), bit(r.OnlyIfCached))
		}
		f, err := q.run(ctx, "enqueue jobs", queueAddScript, app, args...)
		if err != nil {
			return tickets, err
		}
		added, n := f.table(), 0
		for ; len(added.list) > 0 && !added.bad; n++ {
			tickets = append(tickets, queue.Ticket{ID: added.text(), Collapsed: added.number() == 1})
		}
		switch {
		case f.bad || added.bad:
			return tickets, unexpected("enqueue jobs", app)
		case n < len(some):
			return tickets, fmt.Errorf("enqueue job %d of %d: %w", len(tickets)+1, len(requests), queue.ErrFull)
		}
	}
	return tickets, nil
}

// Builds implements queue.Jobs.
func (q *Queue) Builds(ctx context.Context, app string) ([]string, error) {
	f, err := q.run(ctx, "look for builds", queueBuildsScript, app, queue.PresenceTTL.Milliseconds())
	if err != nil {
		return nil, err
	}
	var builds []string
	for t := f.table(); len(t.list) > 0; {
		build, err := url.PathUnescape(t.text())
		if err != nil || t.bad {
			return nil, unexpected("look for builds", app)
		}
		builds = append(builds, build)
	}
	return builds, nil
}

// Get implements queue.Jobs.
func (q *Queue) Get(ctx context.Context, app string, ids []string) ([]queue.Job, error) {
	jobs, _, err := q.look(ctx, app, append([]any{"ids"}, anys(ids)...))
	return jobs, err
}

// List implements queue.Jobs.
func (q *Queue) List(ctx context.Context, app string, opt queue.ListOptions) ([]queue.Job, string, error) {
	what := "all"
	if opt.State == queue.Dead {
		what = "dead"
	}
	from := cmp.Or(opt.From, "0")
	if _, err := strconv.ParseUint(from, 10, 64); err != nil {
		return nil, "", fmt.Errorf("list jobs of %q: from %.50q is no place in the list", app, opt.From)
	}
	jobs, next, err := q.look(ctx, app, []any{what, from, max(opt.Limit, 1)})
	return slices.DeleteFunc(jobs, func(j queue.Job) bool { return opt.State != 0 && j.State != opt.State }), next, err
}

func (q *Queue) look(ctx context.Context, app string, args []any) ([]queue.Job, string, error) {
	f, err := q.run(ctx, "look for jobs", queueGetScript, app, args...)
	if err != nil {
		return nil, "", err
	}
	jobs, err := parseJobs(f.table())
	next := f.text()
	if f.bad {
		err = errors.Join(err, unexpected("look for jobs", app))
	}
	return jobs, next, err
}

// Retry implements queue.Jobs.
func (q *Queue) Retry(ctx context.Context, app string, ids []string) (int, error) {
	return q.edit(ctx, app, "retry", ids)
}

// Drop implements queue.Jobs.
func (q *Queue) Drop(ctx context.Context, app string, ids []string) (int, error) {
	return q.edit(ctx, app, "drop", ids)
}

func (q *Queue) edit(ctx context.Context, app, how string, ids []string) (int, error) {
	n := 0
	for some := range slices.Chunk(ids, chunk) {
		f, err := q.run(ctx, how+" jobs", queueEditScript, app, append([]any{how}, anys(some)...)...)
		if err != nil {
			return n, err
		}
		n += int(f.number()) //nolint:gosec // at most as many as there are ids
	}
	return n, nil
}

// Listen implements queue.Jobs and queue.Work.
func (q *Queue) Listen(app string, kind queue.Kind) (<-chan struct{}, func()) {
	return q.store.bus.hear(q.store.keys.queueChannel(app), kind)
}

func anys(texts []string) []any {
	list := make([]any, len(texts))
	for i, t := range texts {
		list[i] = t
	}
	return list
}

// jobRecord is a job as the scripts keep it.
type jobRecord struct {
	ID       string         `json:"id"`
	Build    string         `json:"build"` // escaped
	Path     string         `json:"path"`
	Priority queue.Priority `json:"priority"`
	Cached   bool           `json:"cached"`
	State    string         `json:"state"`
	Attempt  int            `json:"attempt"`
	By       string         `json:"by"`
	Enqueued int64          `json:"enqueued"`
	Claimed  int64          `json:"claimed"`
	Due      int64          `json:"due"`
	Token    string         `json:"token"`
	Outcome  queue.Outcome  `json:"outcome"`
	Status   int            `json:"status"`
	Reason   string         `json:"reason"`
}

var queueStates = map[string]queue.State{
	"ready": queue.Queued, "behind": queue.Queued, "later": queue.Queued,
	"claimed": queue.Taken, "done": queue.Done, "dead": queue.Dead,
}

func (r jobRecord) job() (queue.Job, error) {
	build, err := url.PathUnescape(r.Build)
	if err != nil {
		return queue.Job{}, fmt.Errorf("build of job %s: %w", r.ID, err)
	}
	j := queue.Job{
		Request: queue.Request{Path: r.Path, Build: build, Priority: r.Priority, OnlyIfCached: r.Cached},
		ID:      r.ID, State: queueStates[r.State], Attempt: r.Attempt, By: r.By, Enqueued: r.Enqueued, Claimed: r.Claimed,
		Outcome: r.Outcome, HTTPStatus: r.Status, Reason: r.Reason,
	}
	if r.State == "later" && r.Attempt > 0 {
		j.State, j.RetryAt = queue.Failed, r.Due
	}
	if r.State == "claimed" {
		if j.Token, err = strconv.ParseUint(r.Token, 10, 64); err != nil {
			return j, fmt.Errorf("token of job %s: %w", r.ID, err)
		}
	}
	return j, nil
}

// parseJobs reads a table of jobs.
func parseJobs(f fields) ([]queue.Job, error) {
	jobs := make([]queue.Job, 0, len(f.list))
	for len(f.list) > 0 {
		var r jobRecord
		err := json.Unmarshal([]byte(f.text()), &r)
		if err == nil {
			var j queue.Job
			if j, err = r.job(); err == nil {
				jobs = append(jobs, j)
				continue
			}
		}
		return jobs, fmt.Errorf("%w: job unreadable: %w", queue.ErrUnavailable, err)
	}
	return jobs, nil
}

// within gives a duration of so many milliseconds; negative: none.
func within(n any) time.Duration {
	if ms, ok := n.(int64); ok && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return 0
}
