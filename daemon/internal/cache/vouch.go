package cache

import (
	"context"
	"errors"
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
	born   time.Time    // what the two times below count from, in nanoseconds, by the monotonic clock
	until  atomic.Int64 // what is known is relied upon
	lastly atomic.Int64 // somebody asked
	owing  atomic.Bool  // something is owed to the log

	mu    sync.Mutex
	proof *proof // the one under way
	told  tag.Position
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

// used says that somebody asked just now.
func (v *vouching) used() { v.lastly.Store(int64(time.Since(v.born))) }

func (v *vouching) inUse() bool { return time.Since(v.born)-time.Duration(v.lastly.Load()) < useful }

// left is for how long what is known may be relied upon without asking; negative: it was, so long ago.
func (v *vouching) left() time.Duration { return time.Duration(v.until.Load()) - time.Since(v.born) }

// extend relies on what is known until then, if that is later than before.
func (v *vouching) extend(until time.Time) {
	for later := int64(until.Sub(v.born)); ; {
		if is := v.until.Load(); is >= later || v.until.CompareAndSwap(is, later) {
			return
		}
	}
}

// vouched reports whether a read that begins now may be answered without asking the log.
func (a *app) vouched() bool { return a.vouching.left() > 0 && !a.vouching.owing.Load() }

// appsVouched counts them.
func (c *Cache) appsVouched() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, a := range c.apps {
		if a.vouched() {
			n++
		}
	}
	return n
}

// vouch returns once what the app knows may be relied upon by a read that has begun. Whoever joins a question that is
// under way is served by its answer: the log counts this daemon as a member from when it heard the question, and so no
// revalidation is acknowledged between the two without it.
func (a *app) vouch(ctx context.Context) error {
	if a.vouched() {
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
	if errors.Is(err, ErrDoubted) {
		outcome = "doubted"
	}
	a.cache.metrics.proofs.WithLabelValues(outcome).Inc()
	a.vouching.extend(until)
	a.vouching.mu.Lock()
	defer a.vouching.mu.Unlock()
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
		if !a.vouching.inUse() && !a.vouching.owing.Load() {
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
	now, left := time.Now(), a.vouching.left()
	if !a.vouched() {
		left = 0
	}
	return now.Add(min(left, Bound)), nil
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
