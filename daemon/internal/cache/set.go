package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/isrd/isrd/daemon/internal/lease"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// SetRequest writes one entry.
type SetRequest struct {
	// Entry is the value; Version and Created are filled in here.
	Entry Entry
	// Base is the version that the render began with.
	Base Version
	// Position stands in for Base where there was no get.
	Position tag.Position
	// Lease is the token of the lease that the write ends; 0: none.
	Lease uint64
	// Durable waits for the store's word.
	Durable bool
	// OnlyIfAbsent stores only where there is nothing.
	OnlyIfAbsent bool
}

// Set writes one entry unless a newer one is there. It returns once the daemon has it; with Durable, once the store has.
// The error wraps ErrKey; a store that is away is an outcome.
func (c *Cache) Set(ctx context.Context, r SetRequest) (Outcome, Version, error) {
	if err := r.Entry.Key.Validate(); err != nil {
		return 0, Version{}, err
	}
	a := c.app(ctx, r.Entry.Key.App)
	e := r.Entry
	e.Version = c.writeVersion(a, r)
	e.Created = c.store.Now()
	w := write{entry: &e, id: e.Key.ID(), options: WriteOptions{Lease: r.Lease, OnlyIfAbsent: r.OnlyIfAbsent}}
	outcome := c.admit(ctx, a, w, r.Durable)
	c.metrics.sets.WithLabelValues(e.Key.Space.String(), outcome.String()).Inc()
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.LogAttrs(ctx, slog.LevelDebug, "set", slog.String("app", e.Key.App), slog.String("space", e.Key.Space.String()),
			slog.String("key", e.Key.Name), slog.String("id", string(w.id)), slog.String("outcome", outcome.String()),
			slog.String("version", e.Version.String()), slog.Int("bytes", e.BodySize()), slog.Any("tags", e.Tags))
	}
	return outcome, e.Version, nil
}

// writeVersion is the version that a write is stored as: the base of its get, or the position at which its request
// began with a token of now. It is never newer than what the render can have seen.
func (c *Cache) writeVersion(a *app, r SetRequest) Version {
	v := r.Base
	if v.IsZero() {
		p := r.Position
		if p.Epoch == 0 {
			p = a.position()
		}
		v = Version{Epoch: p.Epoch, Seq: p.Seq}
	}
	if v.Token == 0 {
		v.Token = lease.NextToken(0, c.store.Now())
	}
	return v
}

func (c *Cache) admit(ctx context.Context, a *app, w write, durable bool) Outcome {
	switch {
	case c.config.MaxEntryBytes > 0 && w.entry.BodySize() > c.config.MaxEntryBytes:
		c.free(ctx, w)
		return RefusedTooLarge
	case w.entry.Version.Epoch == a.position().Epoch && a.judge(w.entry, w.id, nil).reason == TagExpired:
		// Nobody could be served this. Its waiters need a render that saw the change: let one of them have the lease.
		c.free(ctx, w)
		return RefusedInvalidated
	}
	if c.config.Embedded || w.options.OnlyIfAbsent {
		return c.store1(ctx, w)
	}
	if !c.memory.Put(w.entry) {
		c.free(ctx, w)
		return RefusedOlder
	}
	c.flights.wake(w.id)
	if durable {
		return c.store1(ctx, w)
	}
	if !c.writer.add(w) {
		c.log.WarnContext(ctx, "write queue is full; the entry stays on this node", slog.String("key", w.entry.Key.Name))
		return LocalOnly
	}
	return Accepted
}

// writeLimit bounds one write to the store; the store has its own, shorter bound for each command.
const writeLimit = 5 * time.Second

// store1 writes to the store and puts this daemon right with the outcome.
func (c *Cache) store1(ctx context.Context, w write) Outcome {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	stored, err := c.store.Write(ctx, w.entry, w.options)
	defer c.flights.wake(w.id)
	switch {
	case err != nil:
		c.log.WarnContext(ctx, "write entry; it stays on this node", slog.String("key", w.entry.Key.Name), slog.Any("error", err))
		return LocalOnly
	case !stored:
		c.memory.DropOlder(w.id, w.entry.Version.next())
		return RefusedOlder
	default:
		return Accepted
	}
}

// free ends the lease of a write that will not be stored.
func (c *Cache) free(ctx context.Context, w write) {
	if w.options.Lease == 0 {
		return
	}
	if _, err := c.Release(ctx, w.entry.Key, w.options.Lease, 0); err != nil && !errors.Is(err, ErrUnavailable) {
		c.log.WarnContext(ctx, "release lease of a refused write", slog.String("key", w.entry.Key.Name), slog.Any("error", err))
	}
}

// Release ends a lease without a write and lets a parked reader have it. With keep, nobody is granted the key for that
// long: the delay before a failed render is tried again. False: it had ended. The error wraps ErrKey or ErrUnavailable.
func (c *Cache) Release(ctx context.Context, k Key, token uint64, keep time.Duration) (bool, error) {
	if err := k.Validate(); err != nil {
		return false, err
	}
	if token == 0 {
		return false, nil
	}
	released, err := c.store.Release(ctx, k, token, keep)
	c.flights.wake(k.ID())
	if err != nil {
		return false, fmt.Errorf("release lease of %q: %w", k.Name, err)
	}
	return released, nil
}
