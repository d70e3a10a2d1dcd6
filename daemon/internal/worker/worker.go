// Package worker takes jobs from the queue and has Next.js processes that are connected to this daemon regenerate pages.
//
// A process offers a number of places in its hello; at no time has it more jobs than that. A job is done when a write was
// seen that was rendered at a position of the app's log after the one that this daemon was at when it handed the job
// over. A render on demand begins with an event of its own, so its write is; the write of a render that was under way, and
// that Next.js 15 and 16 let the request join, is not, and the process is asked again. See judge for ends without a write.
//
// Who takes jobs is a matter of roles (Mode). With a leader, every claim names the leader's term, and the store refuses one
// that is over: a leader that was cut off claims nothing, but a job that it has begun may still be under way when its
// successor begins another.
package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// Mode says which processes get jobs.
type Mode string

// The modes.
const (
	// Any process that offers itself.
	Any Mode = "any"
	// Leader: those of one daemon, elected by a lease.
	Leader Mode = "leader"
	// Ordinal: those with the number 0; of one without a number the daemon's counts.
	Ordinal Mode = "ordinal"
	// Dedicated: those that offer the role "dedicated".
	Dedicated Mode = "dedicated"
	// Off: none.
	Off Mode = "off"
)

// dedicatedRole is what a process calls itself that serves nobody else.
const dedicatedRole = "dedicated"

// Config of a Worker. Queue and Position must be given; the zero value of every other field works.
type Config struct {
	// Queue has the jobs.
	Queue queue.Work
	// Position is the place in an app's log that this daemon has applied.
	Position func(ctx context.Context, app string) (epoch, seq uint64, err error)
	// Mode says who works. Default Any.
	Mode Mode
	// Ordinal is this daemon's own number among its replicas; negative: there is none.
	Ordinal int
	// Concurrency bounds the jobs of this daemon at a time. Default 16.
	Concurrency int
	// Rate bounds the jobs that this daemon begins in a second; 0: no bound.
	Rate float64
	// Timeout bounds one attempt. Default 60 s.
	Timeout time.Duration
	// Lease is how long a claim lives, as the queue was told. Default the queue's.
	Lease time.Duration
	// LeaderTTL is how long a leader is one without a word. Default 5 s.
	LeaderTTL time.Duration
	// Drain is how long jobs under way may take when the daemon stops. Default 4 s.
	Drain time.Duration
	// Random spreads retries; it is in [0, 1). Default math/rand/v2.
	Random func() float64
	// Instance names this daemon, for people.
	Instance string
	// Logger for what an operator must know.
	Logger *slog.Logger
	// Registerer of the metrics.
	Registerer prometheus.Registerer
}

// Worker is safe for concurrent use. Nothing is claimed unless Run runs.
type Worker struct {
	config  Config
	holder  string // of leases of leadership: this life of this daemon
	log     *slog.Logger
	metrics *metrics
	pace    pace

	mu      sync.Mutex
	running int // jobs under way, and places that are kept for some
	teams   map[string]*team
	begun   chan *team
}

// maxTeams bounds the apps that have processes, as the cache bounds apps.
const maxTeams = 256

// New returns a worker that has no processes.
func New(cfg Config) *Worker {
	cfg.Mode = cmp.Or(cfg.Mode, Any)
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 16)
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	cfg.Lease = cmp.Or(cfg.Lease, queue.Config{}.WithDefaults().Lease)
	cfg.LeaderTTL = cmp.Or(cfg.LeaderTTL, 5*time.Second)
	cfg.Drain = cmp.Or(cfg.Drain, 4*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Random == nil {
		cfg.Random = random
	}
	w := &Worker{
		config: cfg, holder: cfg.Instance + "#" + rand.Text(), log: cfg.Logger, metrics: newMetrics(cfg.Registerer),
		pace: newPace(cfg.Rate), teams: make(map[string]*team), begun: make(chan *team, maxTeams),
	}
	return w
}

// Join adds a process; leave must be called when it goes. One that has not the role that works gets no jobs, but its build
// is known: there will be jobs for it, which wait for a process of it that works.
func (w *Worker) Join(o queue.Offer, p queue.Process) (leave func()) {
	if o.Concurrency <= 0 {
		return func() {}
	}
	if !w.eligible(o) {
		o.Concurrency = 0
	}
	w.mu.Lock()
	t := w.teams[o.App]
	if t == nil && len(w.teams) < maxTeams {
		t = newTeam(w, o.App)
		w.teams[o.App] = t
		w.begun <- t // there is room for all that there may be
	}
	w.mu.Unlock()
	if t == nil {
		w.log.Warn("a process gets no jobs: there are too many apps", slog.String("app", o.App))
		return func() {}
	}
	return t.join(o, p)
}

func (w *Worker) eligible(o queue.Offer) bool {
	switch w.config.Mode {
	case Off:
		return false
	case Dedicated:
		return o.Role == dedicatedRole
	case Ordinal:
		return o.Ordinal == 0 || o.Ordinal < 0 && w.config.Ordinal == 0
	default:
		return true
	}
}

// Run takes jobs until ctx ends; those under way may then end, for a bounded time, and the rest is given back.
func (w *Worker) Run(ctx context.Context) error {
	working, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(w.config.Drain, func() { cancel(errStopping) })
	})()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case t := <-w.begun:
			wg.Go(func() { t.run(ctx, working) })
		case <-ctx.Done():
			return nil
		}
	}
}

var (
	errStopping = errors.New("the daemon stops")
	errLost     = errors.New("the claim was lost")
	errTimeout  = errors.New("no answer in time")
)

// reserve keeps up to n places for jobs that a team is to claim, and returns how many. A team that gets fewer is told when
// there may be more.
func (w *Worker) reserve(t *team, n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = min(n, w.config.Concurrency)
	got := max(min(n, w.config.Concurrency-w.running), 0)
	t.starved = got < n // others have them
	w.running += got
	return got
}

// release gives places back that a team has had, and tells the others that want some.
func (w *Worker) release(by *team, n int) {
	if n <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running -= n
	for _, t := range w.teams {
		if t.starved && t != by {
			t.nudge()
		}
	}
}
