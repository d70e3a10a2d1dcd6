package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

const (
	// applyLimit bounds the wait for an event that is in the log to come back to this daemon.
	applyLimit = 2 * time.Second
	// awaitLimit bounds the wait for the others: members run out after Bound, a new epoch is quiet for Bound, and their
	// clients hold what they were promised for Bound.
	awaitLimit = 3*Bound + 500*time.Millisecond
)

// Revalidated is what became of a revalidation.
type Revalidated struct {
	// Position is the event's place in the log; where the log stood if it is not FleetWide.
	Position tag.Position
	// FleetWide says that no read that begins from now on is answered by what it has invalidated, by any daemon that
	// reaches the store. Otherwise it holds for this daemon, and is owed to the log.
	FleetWide bool
}

// Revalidate appends one event for the given tags and keys, and returns once every daemon that answers reads as fresh has
// applied it and has told its clients. While the store is away it holds here only, and is appended as soon as it is back.
// An error that wraps ErrUnavailable may be tried again: marking twice is as good as marking once.
func (c *Cache) Revalidate(ctx context.Context, name string, tags []tag.Revalidation, keys []Key) (Revalidated, error) {
	marks := slices.Clone(tags)
	for _, k := range keys {
		marks = append(marks, keyMark(k))
	}
	a, err := c.app(ctx, name)
	if err != nil {
		return Revalidated{}, err
	}
	if len(marks) == 0 {
		return Revalidated{Position: a.position(), FleetWide: true}, nil
	}
	begun := time.Now()
	p, err := a.acknowledge(ctx, marks)
	switch {
	case err == nil:
		c.metrics.acknowledged.Observe(time.Since(begun).Seconds())
		c.metrics.revalidations.WithLabelValues("acknowledged").Inc()
		return Revalidated{Position: p, FleetWide: true}, nil
	case !errors.Is(err, ErrUnavailable):
		c.metrics.revalidations.WithLabelValues("failed").Inc()
		return Revalidated{}, err
	}
	if err := a.owe(ctx, marks); err != nil {
		c.metrics.revalidations.WithLabelValues("failed").Inc()
		return Revalidated{}, err
	}
	c.metrics.revalidations.WithLabelValues("owed").Inc()
	c.log.WarnContext(ctx, "a revalidation holds on this node only until the store is back", slog.String("app", name), slog.Any("error", err))
	return Revalidated{Position: a.position()}, nil
}

// keyMark makes an entry stale by its key.
func keyMark(k Key) tag.Revalidation {
	return tag.Revalidation{Tag: k.ID().Tag(), Soft: true, Expire: tag.ForEver}
}

// acknowledge appends an event and waits until it holds everywhere. If the log is lost in between, and the event with it,
// the event is appended again.
func (a *app) acknowledge(ctx context.Context, marks []tag.Revalidation) (tag.Position, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitLimit, ErrUnavailable)
	defer cancel()
	for {
		p, err := a.append(ctx, marks)
		if err != nil {
			return p, err
		}
		err = a.cache.publisher.WaitTold(ctx, a.name, p)
		if err == nil {
			err = a.cache.invalidations.Await(ctx, a.name, p)
		}
		switch known := a.explains(p); {
		case known && err == nil:
			return p, nil
		case known:
			return p, fmt.Errorf("wait for the other daemons: %w", err)
		case ctx.Err() != nil:
			return p, fmt.Errorf("append revalidation: the log has lost it: %w", context.Cause(ctx))
		}
	}
}

// append adds one event to the log and returns once this daemon has applied it.
func (a *app) append(ctx context.Context, marks []tag.Revalidation) (tag.Position, error) {
	p, err := a.cache.invalidations.Append(ctx, a.name, marks)
	if err != nil {
		return tag.Position{}, fmt.Errorf("append revalidation: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, applyLimit, ErrUnavailable)
	defer cancel()
	return p, a.wait(ctx, p)
}

// explains reports whether an event is one of those that are known here.
func (a *app) explains(p tag.Position) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.manifest.Explains(p.Epoch, p.Seq)
}
