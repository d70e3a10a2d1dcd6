package cache

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// Publisher passes on what an app's log says, in order; hub.Hub is one. Calls must not block.
type Publisher interface {
	// Publish passes an event on.
	Publish(app string, e tag.Event)
	// Reset says that all that was known is void, and that events go on after position.
	Reset(app string, position tag.Position, reason string)
}

// app is what the daemon knows of one app. It implements Follower.
type app struct {
	name  string
	cache *Cache

	follow    sync.Once
	following chan struct{} // closed when the first attempt to follow the log has ended; the store goes on by itself

	mu       sync.RWMutex
	manifest tag.Manifest
	moved    chan struct{} // closed and replaced when the position changes
}

var _ Follower = (*app)(nil)

// maxApps bounds the apps of one daemon: each has a log that is followed, and labels in the metrics.
const maxApps = 256

// ErrTooManyApps is returned for the app that comes after the last one.
var ErrTooManyApps = fmt.Errorf("this daemon serves %d apps already; name those that it is to serve with --app", maxApps)

// app returns the state of an app and sees to it that its log is followed. If the store cannot be reached the app is an
// island: what it takes now is void once the log is known, since its epoch is no log's.
func (c *Cache) app(ctx context.Context, name string) (*app, error) {
	c.mu.Lock()
	a := c.apps[name]
	if a == nil && len(c.apps) < maxApps {
		a = &app{name: name, cache: c, following: make(chan struct{}), moved: make(chan struct{})}
		c.apps[name] = a
	}
	c.mu.Unlock()
	if a == nil {
		return nil, ErrTooManyApps
	}
	// Whoever comes first asks, for everybody: not with a context that only the first one's caller may cancel.
	a.follow.Do(func() { go a.begin(context.WithoutCancel(ctx)) })
	select {
	case <-a.following:
	case <-ctx.Done():
		return nil, fmt.Errorf("follow log of %q: %w", name, context.Cause(ctx))
	}
	return a, nil
}

// followLimit bounds the first attempt to follow a log, and so what the first callers of an app wait.
const followLimit = time.Second

// begin follows the log. If that fails the store goes on trying, and calls Load when it has succeeded.
func (a *app) begin(ctx context.Context) {
	defer close(a.following)
	ctx, cancel := context.WithTimeout(ctx, followLimit)
	defer cancel()
	if err := a.cache.invalidations.Follow(ctx, a.name, a); err != nil {
		a.cache.log.Warn("the log cannot be followed yet; going on without it", slog.String("app", a.name), slog.Any("error", err))
	}
}

// Event implements Follower.
func (a *app) Event(e tag.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.manifest.Apply(e) {
	case tag.Applied:
		// Under the lock: an answer judged at this position is sent after the event, because the reader takes its
		// pending events when it sends.
		a.cache.publisher.Publish(a.name, e)
		a.hasMoved()
	case tag.Gap:
		a.cache.log.Error("event does not follow; waiting for a reload",
			slog.String("app", a.name), slog.String("position", a.manifest.Position().String()), slog.String("event", e.Position.String()))
	case tag.Known:
	}
}

// Load implements Follower.
func (a *app) Load(s tag.Snapshot, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.manifest.Load(s)
	a.cache.publisher.Reset(a.name, s.Position, reason)
	a.hasMoved()
}

// Written implements Follower.
func (a *app) Written(id ID, v Version) {
	a.cache.memory.DropOlder(id, v)
	a.cache.flights.wake(id)
}

// Released implements Follower.
func (a *app) Released(id ID) { a.cache.flights.wake(id) }

func (a *app) hasMoved() {
	close(a.moved)
	a.moved = make(chan struct{})
}

func (a *app) position() tag.Position {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.manifest.Position()
}

// wait returns once the app is at least at position p.
func (a *app) wait(ctx context.Context, p tag.Position) error {
	for {
		a.mu.RLock()
		there, moved := !a.manifest.Position().Before(p), a.moved
		a.mu.RUnlock()
		if there {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for position %v of %q: %w", p, a.name, context.Cause(ctx))
		}
	}
}

// verdict is a judgement with its reason and the position it was made at.
type verdict struct {
	freshness tag.Freshness
	reason    Reason
	asOf      tag.Position
}

// judge says what e is to a reader with the given soft tags. It also judges absence: a nil entry is expired.
func (a *app) judge(e *Entry, id ID, soft []string) verdict {
	a.mu.RLock()
	defer a.mu.RUnlock()
	v := verdict{freshness: tag.Expired, reason: Absent, asOf: a.manifest.Position()}
	if e == nil {
		return v
	}
	now := a.cache.store.Now()
	if e.Version.Epoch != v.asOf.Epoch {
		v.reason = Epoch
		return v
	}
	byTag := a.manifest.Judge(e.Version.Epoch, e.Version.Seq, now, e.Tags, soft, []string{id.Tag()})
	byAge := e.Lifetime.Judge(e.Age(now))
	v.freshness = max(byTag, byAge)
	v.reason = reasonOf(byTag, byAge)
	return v
}

func reasonOf(byTag, byAge tag.Freshness) Reason {
	switch {
	case byTag == tag.Expired:
		return TagExpired
	case byAge == tag.Expired:
		return Expired
	case byTag == tag.Stale:
		return TagStale
	case byAge == tag.Stale:
		return Revalidate
	default:
		return NoReason
	}
}

// applyLimit bounds the wait for an event that is in the log to come back to this daemon.
const applyLimit = 2 * time.Second

// Revalidate appends one event for the given tags and keys and returns once this daemon has applied it: a get that
// begins afterwards is judged by it. An error that wraps ErrUnavailable may be tried again: marking twice is as good as
// marking once.
func (c *Cache) Revalidate(ctx context.Context, name string, tags []tag.Revalidation, keys []Key) (tag.Position, error) {
	marks := slices.Clone(tags)
	for _, k := range keys {
		marks = append(marks, tag.Revalidation{Tag: k.ID().Tag(), Soft: true, Expire: tag.ForEver})
	}
	a, err := c.app(ctx, name)
	if err != nil {
		return tag.Position{}, err
	}
	if len(marks) == 0 {
		return a.position(), nil
	}
	p, err := c.invalidations.Append(ctx, name, marks)
	if err != nil {
		c.metrics.revalidations.WithLabelValues("failed").Inc()
		return tag.Position{}, fmt.Errorf("append revalidation: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, applyLimit, ErrUnavailable)
	defer cancel()
	if err := a.wait(ctx, p); err != nil {
		c.metrics.revalidations.WithLabelValues("unapplied").Inc()
		return p, err
	}
	c.metrics.revalidations.WithLabelValues("applied").Inc()
	return p, nil
}

// Position is the place in the app's log that this daemon has applied. The error wraps ErrTooManyApps or the context's
// cause.
func (c *Cache) Position(ctx context.Context, name string) (tag.Position, error) {
	a, err := c.app(ctx, name)
	if err != nil {
		return tag.Position{}, err
	}
	return a.position(), nil
}
