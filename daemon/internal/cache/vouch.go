package cache

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// vouching is for how long what an app knows of its log is known to be all that counts (Gray & Cheriton, SOSP'89): until
// then, every revalidation that was acknowledged to anybody has been applied here, because it was waited for.
type vouching struct {
	mu     sync.Mutex
	until  time.Time // with its monotonic clock
	proof  *proof    // the one under way
	told   tag.Position
	lastly atomic.Int64 // when somebody asked, in nanoseconds of the clock of Cache.born
}

// proof is one question to the log, for all who wait for its answer.
type proof struct {
	done chan struct{}
	err  error
}

const (
	// proveEvery is how often the log is asked while an app is in use: a proof or two may get lost within the bound.
	proveEvery = 300 * time.Millisecond
	// useful is for how long an app is kept vouched for after the last use of it.
	useful = 3 * time.Second
	// proveLimit bounds one question, the loading of a large table included.
	proveLimit = 2 * time.Second
)

func (v *vouching) used(now time.Time) { v.lastly.Store(now.UnixNano()) }

func (v *vouching) inUse(now time.Time) bool { return now.UnixNano()-v.lastly.Load() < int64(useful) }

// left is for how long what is known may be relied upon without asking; negative: it was, so long ago.
func (v *vouching) left(now time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.until.Sub(now)
}

// vouched reports whether a read that begins now may be answered without asking the log.
func (a *app) vouched(now time.Time) bool {
	if a.vouching.left(now) <= 0 {
		return false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.owed.empty()
}

// vouch returns once what the app knows may be relied upon by a read that has begun. Whoever joins a question that is
// under way is served by its answer: the log counts this daemon as a member from when it heard the question, and so no
// revalidation is acknowledged between the two without it.
func (a *app) vouch(ctx context.Context) error {
	if a.vouched(time.Now()) {
		return nil
	}
	return a.prove(ctx)
}

// prove asks the log, together with all who do.
func (a *app) prove(ctx context.Context) error {
	a.vouching.mu.Lock()
	p := a.vouching.proof
	if p == nil {
		p = &proof{done: make(chan struct{})}
		a.vouching.proof = p
		go a.settle(context.WithoutCancel(ctx), p)
	}
	a.vouching.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("prove log of %q: %w", a.name, context.Cause(ctx))
	}
}

// settle carries out a proof. What is owed to the log goes first: a read that relies on it must see what was revalidated
// here before.
func (a *app) settle(ctx context.Context, p *proof) {
	defer close(p.done)
	ctx, cancel := context.WithTimeoutCause(ctx, proveLimit, ErrUnavailable)
	defer cancel()
	a.vouching.mu.Lock()
	told := a.vouching.told
	a.vouching.mu.Unlock()
	err := a.payOwed(ctx)
	var until time.Time
	if err == nil {
		until, err = a.cache.invalidations.Prove(ctx, a.name, told)
	}
	outcome := "proven"
	if err != nil {
		outcome = "failed"
		p.err = fmt.Errorf("prove log of %q: %w", a.name, err)
	}
	a.cache.metrics.proofs.WithLabelValues(outcome).Inc()
	a.vouching.mu.Lock()
	defer a.vouching.mu.Unlock()
	if until.After(a.vouching.until) {
		a.vouching.until = until
	}
	a.vouching.proof = nil
}

// keep proves the log again and again while the app is in use, until ctx ends.
func (a *app) keep(ctx context.Context) {
	ticker := time.NewTicker(proveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !a.vouching.inUse(time.Now()) && a.owes() == 0 {
			continue
		}
		if err := a.prove(ctx); err != nil {
			a.cache.log.DebugContext(ctx, "the log could not be asked", slog.String("app", a.name), slog.Any("error", err))
		}
	}
}

// tell acknowledges events to the log when the clients of this daemon have been told of them, until ctx ends.
func (a *app) tell(ctx context.Context) {
	for {
		a.mu.RLock()
		at, moved := a.manifest.Position(), a.moved
		a.mu.RUnlock()
		if a.cache.publisher.WaitTold(ctx, a.name, at) != nil {
			return // ctx has ended
		}
		if a.setTold(at) {
			if err := a.cache.invalidations.Acknowledge(ctx, a.name, at); err != nil { // the next proof says it too
				a.cache.log.DebugContext(ctx, "acknowledge events", slog.String("app", a.name), slog.Any("error", err))
			}
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// setTold reports whether p is further than what was told before.
func (a *app) setTold(p tag.Position) bool {
	a.vouching.mu.Lock()
	defer a.vouching.mu.Unlock()
	if !a.vouching.told.Before(p) {
		return false
	}
	a.vouching.told = p
	return true
}

// Vouched is the time until which the clients of this daemon may serve what they hold of the app without asking, if they
// have applied every event that was published before this returns. It may be over. The error is that of Position.
func (c *Cache) Vouched(ctx context.Context, name string) (time.Time, error) {
	a, err := c.app(ctx, name)
	if err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	if !a.vouched(now) {
		return now, nil
	}
	return now.Add(min(a.vouching.left(now), Bound)), nil
}

// Vouch is Vouched for whoever has just come: it asks the log if need be. What cannot be vouched for is no error.
func (c *Cache) Vouch(ctx context.Context, name string) (time.Time, error) {
	a, err := c.app(ctx, name)
	if err != nil {
		return time.Time{}, err
	}
	if err := a.vouch(ctx); err != nil {
		c.log.DebugContext(ctx, "the log could not be asked", slog.String("app", name), slog.Any("error", err))
	}
	return c.Vouched(ctx, name)
}
