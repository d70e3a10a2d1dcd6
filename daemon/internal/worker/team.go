package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// team is the processes of one app on this daemon.
type team struct {
	worker *Worker
	app    string
	log    *slog.Logger
	signal chan struct{} // a place is free, or a process came
	leads  leads         // run's
	shown  time.Time     // run's: when builds were shown last that get no jobs here
	builds int           // run's: how many those were

	starved bool // guarded by the worker's mutex: it had more places than there were for all

	mu      sync.Mutex
	members map[*member]struct{}
	claims  map[queue.Claim]context.CancelCauseFunc // the jobs under way
}

// member is one process. busy is guarded by the team's mutex.
type member struct {
	queue.Offer
	process queue.Process
	busy    int
}

func newTeam(w *Worker, app string) *team {
	return &team{
		worker: w, app: app, log: w.log.With(slog.String("app", app)), signal: make(chan struct{}, 1),
		members: make(map[*member]struct{}), claims: make(map[queue.Claim]context.CancelCauseFunc),
	}
}

func (t *team) nudge() {
	select {
	case t.signal <- struct{}{}:
	default:
	}
}

func (t *team) join(o queue.Offer, p queue.Process) (leave func()) {
	m := &member{Offer: o, process: p}
	t.mu.Lock()
	t.members[m] = struct{}{}
	t.count()
	t.mu.Unlock()
	t.nudge()
	return func() {
		t.mu.Lock()
		delete(t.members, m)
		t.count()
		t.mu.Unlock()
		t.nudge()
	}
}

// count counts the members that get jobs. The caller holds mu.
func (t *team) count() {
	n := 0
	for m := range t.members {
		if m.Concurrency > 0 {
			n++
		}
	}
	t.worker.metrics.processes.WithLabelValues(t.app).Set(float64(n))
}

// run takes jobs until ctx ends. Those under way have working.
func (t *team) run(ctx, working context.Context) {
	var jobs, upkeep sync.WaitGroup
	ready, stop := t.worker.config.Queue.Listen(t.app, queue.Ready)
	defer stop()
	over := make(chan struct{})
	upkeep.Go(func() { t.renew(working, over) })
	for ctx.Err() == nil {
		wait := t.turn(ctx, func(j queue.Job, m *member) { jobs.Go(func() { t.work(working, j, m) }) })
		timer := time.NewTimer(wait)
		select {
		case <-ready:
		case <-t.signal:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	jobs.Wait()
	close(over)
	upkeep.Wait()
	t.resign(ctx)
}

// idle is how long a team waits that has nothing to do: until it is told.
const idle = time.Hour

// pause is how long a team waits after the store could not be asked.
const pause = 500 * time.Millisecond

// turn claims what there is a place for and begins it. It returns how long to wait for a signal at most.
func (t *team) turn(ctx context.Context, begin func(queue.Job, *member)) time.Duration {
	free, places, works := t.free()
	if len(free) == 0 {
		t.resign(ctx)
		return idle
	}
	w := t.worker
	wait := queue.Recheck
	if !works {
		return t.show(ctx, free)
	}
	var term uint64
	if w.config.Mode == Leader {
		is, leads := t.lead(ctx)
		if !leads {
			return min(t.show(ctx, free), is)
		}
		term, wait = t.leads.term, min(wait, w.config.LeaderTTL/3)
	}
	reserved := w.reserve(t, places)
	limit, next := w.pace.take(reserved)
	c, err := w.config.Queue.Claim(ctx, t.app, queue.ClaimOptions{By: w.config.Instance, Limit: limit, Free: free, Term: term})
	w.pace.back(limit - len(c.Jobs))
	w.release(t, reserved-len(c.Jobs))
	switch {
	case errors.Is(err, queue.ErrNotLeader):
		t.leads = leads{}
		return 0
	case err != nil:
		t.log.Debug("claim jobs", slog.Any("error", err))
		return pause
	}
	w.metrics.counted(t.app, c)
	// Those that any process can do take what the others leave.
	slices.SortStableFunc(c.Jobs, func(a, b queue.Job) int { return -strings.Compare(a.Build, b.Build) })
	for _, j := range c.Jobs {
		begin(j, t.place(j.Build))
	}
	switch more := len(c.Jobs) == limit; {
	case more && next > 0:
		wait = min(wait, next)
	case more && limit > 0:
		wait = 0
	}
	if c.Next > 0 {
		wait = min(wait, c.Next)
	}
	return wait
}

// show says that the builds have a process, and claims nothing. It returns how long to wait for a signal at most.
func (t *team) show(ctx context.Context, builds map[string]int) time.Duration {
	if wait := queue.Recheck - time.Since(t.shown); wait > 0 && len(builds) <= t.builds {
		return wait
	}
	c, err := t.worker.config.Queue.Claim(ctx, t.app, queue.ClaimOptions{By: t.worker.config.Instance, Free: builds})
	if err != nil {
		t.log.Debug("show builds", slog.Any("error", err))
		return pause
	}
	t.shown, t.builds = time.Now(), len(builds)
	t.worker.metrics.counted(t.app, c)
	return queue.Recheck
}

// free is for how many jobs of each build there is a place in its processes. A build without a free place is named too.
// works says that any of the processes gets jobs.
func (t *team) free() (free map[string]int, places int, works bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	free = make(map[string]int)
	for m := range t.members {
		n := max(m.Concurrency-m.busy, 0)
		free[m.Build] += n
		places += n
		works = works || m.Concurrency > 0
	}
	return free, places, works
}

// place takes one in the process of the build (any, if it is "") that has the most free ones, dedicated ones first; nil:
// there is none any more.
func (t *team) place(build string) *member {
	t.mu.Lock()
	defer t.mu.Unlock()
	var best *member
	better := func(m *member) bool {
		if best == nil || (m.Role == dedicatedRole) != (best.Role == dedicatedRole) {
			return best == nil || m.Role == dedicatedRole
		}
		return m.Concurrency-m.busy > best.Concurrency-best.busy
	}
	for m := range t.members {
		if (build == "" || m.Build == build) && m.busy < m.Concurrency && better(m) {
			best = m
		}
	}
	if best != nil {
		best.busy++
	}
	return best
}

// vacate gives a place back.
func (t *team) vacate(m *member) {
	if m != nil {
		t.mu.Lock()
		m.busy--
		t.mu.Unlock()
	}
	t.worker.release(t, 1)
	t.nudge()
}

// renew lets the claims under way live until over is closed; a job whose claim was lost is ended.
func (t *team) renew(ctx context.Context, over <-chan struct{}) {
	ticker := time.NewTicker(t.worker.config.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-over:
			return
		}
		t.mu.Lock()
		var claims []queue.Claim
		for c := range t.claims {
			claims = append(claims, c)
		}
		t.mu.Unlock()
		if len(claims) == 0 {
			continue
		}
		lives, err := t.worker.config.Queue.Renew(ctx, t.app, claims)
		if err != nil {
			t.log.Debug("renew claims; tried again while they live", slog.Any("error", err))
			continue
		}
		t.mu.Lock()
		for i, c := range claims {
			if cancel := t.claims[c]; cancel != nil && !lives[i] {
				cancel(errLost)
			}
		}
		t.mu.Unlock()
	}
}
