package cache

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// Publisher passes on what an app's log says, in order; hub.Hub is one. Publish and Reset must not block.
type Publisher interface {
	// Publish passes an event on.
	Publish(app string, e tag.Event)
	// Reset says that all that was known is void, and that events go on after position.
	Reset(app string, position tag.Position, reason string)
	// WaitTold returns once nobody who was told of the app's events serves what those up to p have invalidated.
	WaitTold(ctx context.Context, app string, p tag.Position) error
}

// app is what the daemon knows of one app. It implements Follower.
type app struct {
	name  string
	cache *Cache

	follow    sync.Once
	following chan struct{} // closed when the first attempt to follow the log has ended; the store goes on by itself

	mu       sync.RWMutex
	manifest tag.Manifest
	recent   recent
	owed     owed
	moved    chan struct{} // closed and replaced when the position changes

	vouching vouching
	reads    reads
}

var _ Follower = (*app)(nil)

// MaxTags bounds the tags of an app whose marks are known; content from before the older half of them is regenerated.
const MaxTags = 100_000

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
		a.vouching.born = time.Now()
		a.inheritOwed()
		c.apps[name] = a
		c.begun <- a // there is room for all that there may be
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
	a.vouching.used()
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
		a.recent.add(e)
		a.manifest.Prune(MaxTags)
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
	a.manifest.Prune(MaxTags)
	a.recent.begin(s.Position)
	a.cache.publisher.Reset(a.name, s.Position, reason)
	a.hasMoved()
}

// Snapshot implements Follower.
func (a *app) Snapshot() tag.Snapshot {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.manifest.Snapshot()
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

// Position is the place in the app's log that this daemon has applied. The error wraps ErrTooManyApps or the context's
// cause.
func (c *Cache) Position(ctx context.Context, name string) (tag.Position, error) {
	a, err := c.app(ctx, name)
	if err != nil {
		return tag.Position{}, err
	}
	return a.position(), nil
}
