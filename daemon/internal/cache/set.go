package cache

import (
	"context"
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
	// Position stands in for Base where there was no get. Its zero value is what a session says whose daemon knew no log:
	// what was rendered then is served only as long as that is so.
	Position tag.Position
	// Shared says that the token of Base is another render's: nobody knows since when the content was rendered.
	Shared bool
	// Lease is the token of the lease that the write ends; 0: none.
	Lease uint64
	// Durable waits for the store's word.
	Durable bool
	// OnlyIfAbsent stores only where there is nothing.
	OnlyIfAbsent bool
	// BuiltAt says that the content is build output, and when it was made, in milliseconds since 1970 by the builder's clock;
	// 0: it is not. If it was revalidated since, or if nobody can say so, it is refused; its lease stays with the caller, who
	// renders.
	BuiltAt int64
}

// Set writes one entry unless a newer one is there. It returns once the daemon has it; with Durable, once the store has.
// The error wraps ErrKey; a store that is away is an outcome.
func (c *Cache) Set(ctx context.Context, r SetRequest) (Outcome, Version, error) {
	if err := r.Entry.Key.Validate(); err != nil {
		return 0, Version{}, err
	}
	a, err := c.app(ctx, r.Entry.Key.App)
	if err != nil {
		return 0, Version{}, err
	}
	e := r.Entry
	e.Version = c.writeVersion(r)
	e.Created = c.store.Now()
	begun := begunAt(r)
	if begun == 0 && a.vouching.owing.Load() {
		e.Version.Token = c.tokens.old() // to whoever reads it with a tag that is owed, it is older than that
	}
	w := write{entry: &e, id: e.Key.ID(), begun: begun, options: WriteOptions{Lease: r.Lease, OnlyIfAbsent: r.OnlyIfAbsent, Created: r.BuiltAt}}
	outcome := c.admit(ctx, a, w, r.Durable)
	if outcome != Accepted && r.BuiltAt == 0 {
		c.free(ctx, w, outcome)
	}
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
func (c *Cache) writeVersion(r SetRequest) Version {
	v := r.Base
	if v.IsZero() {
		v = Version{Epoch: r.Position.Epoch, Seq: r.Position.Seq}
	}
	if v.Token == 0 {
		v.Token = c.tokens.next(0, c.store.Now())
	}
	return v
}

// maxDescription bounds what an entry carries beside its body: it travels with every answer.
const maxDescription = 128 << 10

func (c *Cache) admit(ctx context.Context, a *app, w write, durable bool) Outcome {
	if c.config.MaxEntryBytes > 0 && w.entry.Size() > c.config.MaxEntryBytes || w.entry.DescriptionSize() > maxDescription {
		return RefusedTooLarge
	}
	if !c.vouchFor(ctx, a, w) || w.options.Created != 0 && a.revalidatedSince(w.options.Created-buildSlack.Milliseconds(), w) {
		// Nobody could be served this. Its waiters need a render that saw the change: let one of them have the lease.
		return RefusedInvalidated
	}
	if c.config.Embedded || w.options.OnlyIfAbsent {
		return c.persist(ctx, w)
	}
	if !c.memory.Put(w.entry) {
		return RefusedOlder
	}
	c.flights.wake(w.id)
	if durable {
		return c.persist(ctx, w)
	}
	if !c.writer.add(w) {
		c.log.WarnContext(ctx, "write queue is full; the entry stays on this node", slog.String("key", w.entry.Key.Name))
		return LocalOnly
	}
	return Accepted
}

// vouchFor reports whether the write can be served to anybody: it is from this log, from no later than this daemon has
// applied (a base from another daemon may be ahead for a moment), and no tag of it was revalidated since.
func (c *Cache) vouchFor(ctx context.Context, a *app, w write) bool {
	v := w.entry.Version
	ctx, cancel := context.WithTimeoutCause(ctx, applyLimit, ErrUnavailable)
	defer cancel()
	now := a.position()
	if now.Epoch != 0 && now.Before(tag.Position{Epoch: v.Epoch, Seq: v.Seq}) {
		if err := a.wait(ctx, tag.Position{Epoch: v.Epoch, Seq: v.Seq}); err != nil {
			c.log.WarnContext(ctx, "a write names a position that this daemon has not heard of; it is dropped",
				slog.String("key", w.entry.Key.Name), slog.String("version", v.String()))
			return false
		}
	}
	// A token is a time in microseconds. One from far ahead would keep every later write out.
	if int64(v.Token/1000) > c.store.Now()+time.Hour.Milliseconds() { //nolint:gosec // divided by 1000 it fits
		return false
	}
	verdict := a.judge(w.entry, w.id, nil)
	return verdict.reason != TagExpired && verdict.reason != Epoch && !a.owesAfter(w)
}

// buildSlack is by how much a build's clock may be ahead of the store's.
const buildSlack = time.Minute

// revalidatedSince reports whether a tag of the write, its key's included, may have been revalidated at or after a time: who
// is not vouched for cannot say that it was not.
func (a *app) revalidatedSince(at int64, w write) bool {
	if !a.vouched() {
		return true
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	own := [1]string{w.id.Tag()}
	return a.manifest.MarkedSince(at, w.entry.Tags, own[:])
}

// begunAt is the token that tells since when the content was rendered; 0: nobody knows.
func begunAt(r SetRequest) uint64 {
	if r.Shared || r.BuiltAt != 0 || r.Position != (tag.Position{}) {
		return 0
	}
	return r.Base.Token
}

// owesAfter reports whether a tag of the write is owed to the log and may have been revalidated while it was rendered.
// What is owed has no seq yet, so the token of its get decides; a write without one was rendered nobody knows since when.
func (a *app) owesAfter(w write) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	is := a.owed.judge(w.begun, a.cache.store.Now(), w.entry.Tags, []string{w.id.Tag()})
	return is == tag.Expired || w.begun == 0 && is == tag.Stale
}

// writeLimit bounds one write to the store; the store has its own, shorter bound for each command.
const writeLimit = 5 * time.Second

// persist writes to the store and puts this daemon right with the outcome.
func (c *Cache) persist(ctx context.Context, w write) Outcome {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	stored, err := c.store.Write(ctx, w.entry, w.options)
	defer c.flights.wake(w.id)
	switch {
	case err != nil:
		c.log.DebugContext(ctx, "write entry", slog.String("key", w.entry.Key.Name), slog.Any("error", err))
		return LocalOnly
	case !stored:
		c.memory.Drop(w.entry)
		return RefusedOlder
	default:
		return Accepted
	}
}

// A write that the store did not take is tried again for a while: it was acknowledged, and its lease ends with it.
const (
	retryFor   = 30 * time.Second
	retryEvery = 500 * time.Millisecond
)

// persistLater is what the writer does with an acknowledged write.
func (c *Cache) persistLater(ctx context.Context, w write) {
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	over := time.NewTimer(retryFor)
	defer over.Stop()
	for {
		outcome := c.persist(ctx, w)
		if outcome != LocalOnly {
			if outcome != Accepted {
				c.metrics.sets.WithLabelValues(w.entry.Key.Space.String(), "late_"+outcome.String()).Inc()
			}
			return
		}
		select {
		case <-ticker.C:
			continue
		case <-over.C:
		case <-ctx.Done():
		}
		c.metrics.sets.WithLabelValues(w.entry.Key.Space.String(), "late_"+outcome.String()).Inc()
		c.log.WarnContext(ctx, "the store did not take an entry; it stays on this node", slog.String("key", w.entry.Key.Name))
		return
	}
}

// free ends the lease of a write that is not stored. What is too large will be so again: nobody needs to wait for it.
func (c *Cache) free(ctx context.Context, w write, outcome Outcome) {
	if w.options.Lease == 0 {
		return
	}
	if _, err := c.Release(ctx, w.entry.Key, w.options.Lease, ReleaseOptions{Completed: outcome == RefusedTooLarge}); err != nil {
		c.log.DebugContext(ctx, "release lease of a write that was not stored; it ends by its time", slog.String("key", w.entry.Key.Name), slog.Any("error", err))
	}
}

// Release ends a lease without a write and lets a parked reader have it. False: it had ended. The error wraps ErrKey or
// ErrUnavailable.
func (c *Cache) Release(ctx context.Context, k Key, token uint64, opt ReleaseOptions) (bool, error) {
	if err := k.Validate(); err != nil {
		return false, err
	}
	if token == 0 {
		return false, nil
	}
	released, err := c.store.Release(ctx, k, token, opt)
	c.flights.wake(k.ID())
	if err != nil {
		return false, fmt.Errorf("release lease of %q: %w", k.Name, err)
	}
	return released, nil
}

// Renew lets a lease live for another ttl. False: it has ended. The error wraps ErrUnavailable.
func (c *Cache) Renew(ctx context.Context, k Key, token uint64, ttl time.Duration) (bool, error) {
	renewed, err := c.store.Renew(ctx, k, token, ttl)
	if err != nil {
		return false, fmt.Errorf("renew lease of %q: %w", k.Name, err)
	}
	return renewed, nil
}

// Claim gives a lease to the next session of its holder; see Store.Claim. A lease with token 0 says that it is lost. The
// error wraps ErrKey or ErrUnavailable.
func (c *Cache) Claim(ctx context.Context, k Key, token uint64, holder string) (lease.Lease, error) {
	if err := k.Validate(); err != nil {
		return lease.Lease{}, err
	}
	claimed, err := c.store.Claim(ctx, k, token, ClaimOptions{Holder: holder, TTL: c.config.LeaseTTL})
	if err != nil {
		return lease.Lease{}, fmt.Errorf("claim lease of %q: %w", k.Name, err)
	}
	return lease.Lease{Key: string(k.ID()), Token: claimed, Holder: holder, TTL: c.config.LeaseTTL}, nil
}

// LeaseTTL is how long a lease lives unless it is renewed.
func (c *Cache) LeaseTTL() time.Duration { return c.config.LeaseTTL }
