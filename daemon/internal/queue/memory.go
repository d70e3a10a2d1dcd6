package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Memory implements Jobs and Work in this process. It is safe for concurrent use; every method is one atomic step. Jobs
// end with the process.
type Memory struct {
	config Config
	begun  time.Time

	mu        sync.Mutex
	apps      map[string]*desk
	listeners map[*listener]struct{}
}

var (
	_ Jobs = (*Memory)(nil)
	_ Work = (*Memory)(nil)
)

// listener gets a value when something of its kind has happened.
type listener struct {
	app    string
	kind   Kind
	signal chan struct{}
}

// NewMemory returns an empty queue.
func NewMemory(cfg Config) *Memory {
	return &Memory{config: cfg.WithDefaults(), begun: time.Now(), apps: make(map[string]*desk), listeners: make(map[*listener]struct{})}
}

// now is in milliseconds since 1970, by the monotonic clock.
func (m *Memory) now() int64 { return m.begun.UnixMilli() + time.Since(m.begun).Milliseconds() }

// desk locks the queue, gives that of one app as of now, and unlocks it with the returned function, which also tells the
// listeners.
func (m *Memory) desk(ctx context.Context, app string) (*desk, func(), error) {
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("queue of %q: %w: %w", app, ErrUnavailable, context.Cause(ctx))
	}
	m.mu.Lock()
	d := m.apps[app]
	if d == nil {
		d = newDesk(m.config)
		m.apps[app] = d
	}
	d.now = m.now()
	return d, func() {
		for l := range m.listeners {
			if l.app == app && d.told[l.kind] {
				select {
				case l.signal <- struct{}{}:
				default:
				}
			}
		}
		d.told = [2]bool{}
		m.mu.Unlock()
	}, nil
}

// Enqueue implements Jobs.
func (m *Memory) Enqueue(ctx context.Context, app string, requests []Request) ([]Ticket, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return nil, err
	}
	defer done()
	d.tick() // with no worker at all nobody else does
	tickets := make([]Ticket, 0, len(requests))
	for _, r := range requests {
		t, ok := d.add(r, rand.Text())
		if !ok {
			return tickets, fmt.Errorf("enqueue job %d of %d: %w", len(tickets)+1, len(requests), ErrFull)
		}
		tickets = append(tickets, t)
	}
	return tickets, nil
}

// Builds implements Jobs.
func (m *Memory) Builds(ctx context.Context, app string) ([]string, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return nil, err
	}
	defer done()
	maps.DeleteFunc(d.builds, func(_ string, seen int64) bool { return seen <= d.now-PresenceTTL.Milliseconds() })
	return slices.Sorted(maps.Keys(d.builds)), nil
}

// Get implements Jobs.
func (m *Memory) Get(ctx context.Context, app string, ids []string) ([]Job, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return nil, err
	}
	defer done()
	var jobs []Job
	for _, id := range ids {
		if j := d.jobs[id]; j != nil {
			jobs = append(jobs, j.shown())
		}
	}
	return jobs, nil
}

// List implements Jobs.
func (m *Memory) List(ctx context.Context, app string, opt ListOptions) ([]Job, string, error) {
	first := 0
	if opt.From != "" {
		var err error
		if first, err = strconv.Atoi(opt.From); err != nil || first < 0 {
			return nil, "", fmt.Errorf("list jobs of %q: from %.50q is no place in the list", app, opt.From)
		}
	}
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return nil, "", err
	}
	defer done()
	var jobs []Job
	if opt.State == Dead {
		for _, j := range slices.Backward(d.dead) {
			jobs = append(jobs, j.shown())
		}
	} else {
		for _, id := range slices.Sorted(maps.Keys(d.jobs)) {
			if j := d.jobs[id].shown(); opt.State == 0 || j.State == opt.State {
				jobs = append(jobs, j)
			}
		}
	}
	end := min(first+max(opt.Limit, 1), len(jobs))
	next := ""
	if end < len(jobs) {
		next = strconv.Itoa(end)
	}
	return jobs[min(first, end):end], next, nil
}

// Retry implements Jobs.
func (m *Memory) Retry(ctx context.Context, app string, ids []string) (int, error) {
	return m.edit(ctx, app, ids, (*desk).retry)
}

// Drop implements Jobs.
func (m *Memory) Drop(ctx context.Context, app string, ids []string) (int, error) {
	return m.edit(ctx, app, ids, (*desk).drop)
}

func (m *Memory) edit(ctx context.Context, app string, ids []string, edit func(*desk, *job) bool) (int, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return 0, err
	}
	defer done()
	n := 0
	for _, id := range ids {
		if j := d.jobs[id]; j != nil && edit(d, j) {
			n++
		}
	}
	return n, nil
}

// Listen implements Jobs and Work.
func (m *Memory) Listen(app string, kind Kind) (<-chan struct{}, func()) {
	l := &listener{app: app, kind: kind, signal: make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners[l] = struct{}{}
	return l.signal, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.listeners, l)
	}
}

// Claim implements Work.
func (m *Memory) Claim(ctx context.Context, app string, opt ClaimOptions) (Claimed, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return Claimed{}, err
	}
	defer done()
	for build := range opt.Free {
		d.builds[build] = d.now
	}
	d.tick()
	c := Claimed{Open: d.open, Dead: len(d.dead)}
	if due := d.timers.first(); due > 0 {
		c.Next = time.Duration(max(due-d.now, 1)) * time.Millisecond
	}
	if opt.Term != 0 && (opt.Term != d.term || d.termUntil <= d.now) {
		return c, ErrNotLeader
	}
	free := maps.Clone(opt.Free)
	if len(free) > 0 {
		free[""] = opt.Limit
	}
	for len(c.Jobs) < opt.Limit {
		j := d.find(free)
		if j == nil {
			break
		}
		c.Jobs = append(c.Jobs, d.claim(j, opt.By))
	}
	return c, nil
}

// Renew implements Work.
func (m *Memory) Renew(ctx context.Context, app string, claims []Claim) ([]bool, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return nil, err
	}
	defer done()
	lives := make([]bool, len(claims))
	for i, c := range claims {
		if j := d.claimed(c); j != nil {
			d.timers.set(j, d.now+m.config.Lease.Milliseconds())
			lives[i] = true
		}
	}
	return lives, nil
}

// Finish implements Work.
func (m *Memory) Finish(ctx context.Context, app string, c Claim, r Result) (bool, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return false, err
	}
	defer done()
	j := d.claimed(c)
	if j == nil {
		return false, nil
	}
	j.Outcome, j.HTTPStatus, j.Reason = r.Outcome, r.HTTPStatus, r.Reason
	switch r.Verdict {
	case Complete:
		d.complete(j)
	case TryAgain:
		due := d.now
		if r.Delay > 0 { // else nobody has begun to render
			due = max(due+r.Delay.Milliseconds(), j.Claimed+d.config.Settle.Milliseconds())
		}
		d.fail(j, r.Reason, due)
	case GiveBack:
		j.Attempt--
		d.push(j)
	case GiveUp:
		d.die(j, r.Reason)
	}
	return true, nil
}

// Lead implements Work.
func (m *Memory) Lead(ctx context.Context, app, holder string, ttl time.Duration) (Term, error) {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return Term{}, err
	}
	defer done()
	if d.termUntil > d.now && d.leader != holder {
		return Term{Left: time.Duration(d.termUntil-d.now) * time.Millisecond}, nil
	}
	if d.termUntil <= d.now {
		d.term++
	}
	d.leader, d.termUntil = holder, d.now+ttl.Milliseconds()
	return Term{Number: d.term, Left: ttl}, nil
}

// Resign implements Work.
func (m *Memory) Resign(ctx context.Context, app, holder string) error {
	d, done, err := m.desk(ctx, app)
	if err != nil {
		return err
	}
	defer done()
	if d.leader == holder && d.termUntil > d.now {
		d.termUntil = 0
		d.told[Ready] = true
	}
	return nil
}
