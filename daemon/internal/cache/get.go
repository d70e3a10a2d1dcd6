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

// recheck is the longest that a parked read trusts a wake-up to come: hints between daemons can be lost.
const recheck = 500 * time.Millisecond

// query is one read on its way.
type query struct {
	GetRequest
	c   *Cache
	app *app
	id  ID
}

// Get reads one entry, or obtains the lease to regenerate it. The error wraps ErrKey, ErrUnavailable (AsOf was not
// reached) or the context's cause; a store that is away is no error but an answer with that reason.
func (c *Cache) Get(ctx context.Context, r GetRequest) (Answer, error) {
	if err := r.Key.Validate(); err != nil {
		return Answer{}, err
	}
	a, err := c.app(ctx, r.Key.App)
	if err != nil {
		return Answer{}, err
	}
	q := &query{GetRequest: r, c: c, app: a, id: r.Key.ID()}
	if err := q.reach(ctx); err != nil {
		return Answer{}, err
	}
	answer, err := q.run(ctx)
	if err != nil {
		return Answer{}, err
	}
	if c.config.CountReads && answer.Entry != nil {
		a.reads.saw(q.id, answer.Entry)
	}
	c.metrics.gets.WithLabelValues(r.Key.Space.String(), answer.Status.String(), answer.Reason.String()).Inc()
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.LogAttrs(ctx, slog.LevelDebug, "get", slog.String("app", r.Key.App), slog.String("build", r.Key.Build),
			slog.String("space", r.Key.Space.String()), slog.String("key", r.Key.Name), slog.String("id", string(q.id)),
			slog.String("status", answer.Status.String()), slog.String("reason", answer.Reason.String()),
			slog.Uint64("lease", answer.Lease.Token), slog.String("holder", r.Holder))
	}
	return answer, nil
}

// reach brings the app to the position that the read needs.
func (q *query) reach(ctx context.Context) error {
	if q.OnDemand {
		// A page without tags is invalidated like a tagged one: by an event in the log, before its render begins.
		if _, err := q.app.append(ctx, []tag.Revalidation{keyMark(q.Key)}); err != nil {
			q.c.log.WarnContext(ctx, "on-demand render goes on without its event", slog.String("key", q.Key.Name), slog.Any("error", err))
		}
	}
	if !q.app.position().Before(q.AsOf) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, applyLimit, ErrUnavailable)
	defer cancel()
	return q.app.wait(ctx, q.AsOf)
}

func (q *query) run(ctx context.Context) (Answer, error) {
	if e, ok := q.c.memory.Get(q.id); ok && !q.OnDemand && q.app.vouched() {
		if v := q.judge(e); v.freshness == tag.Fresh && q.wants(e) {
			return q.serve(e, v), nil
		}
	}
	f := q.c.flights.join(q.id)
	defer q.c.flights.leave(q.id, f)
	return q.fly(ctx, f)
}

// fly asks the store until there is an answer, parked in between.
func (q *query) fly(ctx context.Context, f *flight) (Answer, error) {
	var (
		end    <-chan time.Time
		parked bool
	)
	for {
		woken := q.c.flights.woken(f)
		answer, held, err := q.inTurn(ctx, f, woken)
		if err != nil {
			return Answer{}, fmt.Errorf("get %q: %w", q.Key.Name, err)
		}
		if !held || q.NoLease {
			if parked {
				q.c.metrics.waitEnded(endedBy(answer))
			}
			return answer, nil
		}
		if !parked {
			parked = true
			q.c.metrics.parked.Inc()
			defer q.c.metrics.parked.Dec()
			limit := q.limit()
			if q.Parked != nil {
				q.Parked(limit)
			}
			timer := time.NewTimer(limit)
			defer timer.Stop()
			end = timer.C
		}
		again := time.NewTimer(min(max(answer.LeaseLeft, time.Millisecond), recheck))
		select {
		case <-woken:
		case <-again.C:
		case <-end:
			again.Stop()
			q.c.metrics.waitEnded("timeout")
			answer.Reason = Waited
			return answer, nil
		case <-ctx.Done():
			again.Stop()
			q.c.metrics.waitEnded("cancel")
			return Answer{}, fmt.Errorf("get %q: %w", q.Key.Name, context.Cause(ctx))
		}
		again.Stop()
	}
}

func endedBy(a Answer) string {
	switch {
	case a.Entry != nil:
		return "write"
	case a.Lease.Token != 0:
		return "lease"
	default:
		return "store"
	}
}

func (q *query) limit() time.Duration {
	limit := q.c.config.WaitLimit
	if q.Key.Space == Fetch || q.Key.Space == UseCache {
		limit = q.c.config.FetchWaitLimit
	}
	if q.WaitLimit > 0 {
		limit = min(limit, q.WaitLimit)
	}
	return limit
}

// inTurn makes an attempt when it is this caller's turn.
func (q *query) inTurn(ctx context.Context, f *flight, woken <-chan struct{}) (answer Answer, held bool, err error) {
	if err := f.take(ctx); err != nil {
		return Answer{}, false, err
	}
	defer f.give()
	answer, held = q.attempt(ctx, f, woken)
	return answer, held, nil
}

// attempt looks once, in memory and in the store. held says that there is nothing to serve and that somebody else
// regenerates; the answer is then the miss to give when the wait is over.
func (q *query) attempt(ctx context.Context, f *flight, woken <-chan struct{}) (answer Answer, held bool) {
	proven := q.app.vouch(ctx)
	doubted := errors.Is(proven, ErrDoubted)
	if proven != nil && !doubted {
		e, _ := q.c.memory.Get(q.id)
		return q.degrade(e, q.judge(e)), false
	}
	answer, held = q.look(ctx, f, woken)
	if doubted && answer.Entry != nil {
		answer.Reason = StoreUnavailable // leases and writes are as good as ever; only what is served may be old
	}
	return answer, held
}

// look is an attempt with a store that answers.
func (q *query) look(ctx context.Context, f *flight, woken <-chan struct{}) (answer Answer, held bool) {
	e, _ := q.c.memory.Get(q.id)
	v := q.judge(e)
	if e != nil && v.freshness == tag.Fresh && q.wants(e) && !q.OnDemand {
		return q.serve(e, v), false
	}
	if left, ok := f.known.heldAt(time.Now(), woken); ok && !q.OnDemand {
		known := f.known.reading
		known.Left = left
		return q.lose(e, v, known)
	}
	// Twice is enough: once to see what the store has, once to take the lease for what was seen. A third time only if a
	// write came between.
	var reading Reading
	for range 3 {
		var err error
		reading, err = q.c.store.Read(ctx, q.Key, q.options(e))
		switch {
		case errors.Is(err, ErrUnreadable):
			v.reason = Unreadable
		case err != nil:
			return q.degrade(e, v), false
		}
		if reading.Entry == nil {
			break
		}
		e = reading.Entry
		q.c.memory.Put(e)
		if v = q.judge(e); v.freshness == tag.Fresh && !q.OnDemand {
			return q.serve(e, v), false
		}
	}
	if reading.Granted {
		// Whoever comes next on this daemon need not ask.
		f.known = newKnown(Reading{Held: true, Token: reading.Token, Left: reading.Left}, woken)
		return q.win(e, v, reading), false
	}
	if reading.Held {
		f.known = newKnown(reading, woken)
	}
	return q.lose(e, v, reading)
}

func (q *query) options(e *Entry) ReadOptions {
	judged := q.Judged
	if e != nil && judged.Less(e.Version) {
		judged = e.Version
	}
	return ReadOptions{Judged: judged, Lease: !q.NoLease, Override: q.OnDemand, Holder: q.Holder, TTL: q.c.config.LeaseTTL}
}

// wants reports whether e is newer than what the caller has judged itself.
func (q *query) wants(e *Entry) bool { return q.Judged.IsZero() || q.Judged.Less(e.Version) }

func (q *query) judge(e *Entry) verdict { return q.app.judge(e, q.id, q.SoftTags) }

// serve answers with an entry that is fresh.
func (q *query) serve(e *Entry, v verdict) Answer {
	now := q.c.store.Now()
	return Answer{
		Status:    Hit,
		Entry:     e,
		Age:       e.Age(now),
		Base:      Version{v.asOf.Epoch, v.asOf.Seq, q.c.tokens.next(e.Version.Token, now)},
		AsOf:      v.asOf,
		Unchanged: q.Held == e.Version,
	}
}

// old answers with an entry that is stale, or with a miss, when r is how it stands with the lease.
func (q *query) old(e *Entry, v verdict, r Reading) Answer {
	now := q.c.store.Now()
	var previous uint64
	if e != nil {
		previous = e.Version.Token
	}
	token := max(r.Token, previous+1)
	if !r.Granted {
		token = q.c.tokens.next(max(r.Token, previous), now)
	}
	a := Answer{Status: Miss, Reason: v.reason, Base: Version{v.asOf.Epoch, v.asOf.Seq, token}, AsOf: v.asOf}
	if e != nil && v.freshness != tag.Expired {
		a.Status, a.Entry, a.Age, a.Unchanged = Stale, e, e.Age(now), q.Held == e.Version
	}
	return a
}

func (q *query) win(e *Entry, v verdict, r Reading) Answer {
	a := q.old(e, v, r)
	a.Lease = lease.Lease{Key: string(q.id), Token: r.Token, Holder: q.Holder, TTL: r.Left}
	q.c.metrics.leases.WithLabelValues(q.Key.Space.String(), a.Status.String()).Inc()
	return a
}

func (q *query) lose(e *Entry, v verdict, r Reading) (Answer, bool) {
	a := q.old(e, v, r)
	a.LeaseLeft = r.Left
	if r.Uncacheable && a.Status == Miss {
		a.Reason = Uncacheable
	}
	return a, r.Held && !r.Kept && !r.Uncacheable && a.Status == Miss
}

// degrade answers without the store: with what is in memory, if it may be served at all and the store has not been away
// for too long. It may have been revalidated elsewhere, and the answer says so by its reason.
func (q *query) degrade(e *Entry, v verdict) Answer {
	if -q.app.vouching.left() > q.c.config.MaxOutageAge {
		e = nil
	}
	a := q.old(e, v, Reading{})
	if e != nil && v.freshness == tag.Fresh && !q.OnDemand {
		a = q.serve(e, v)
	}
	a.Reason = StoreUnavailable
	return a
}

// Body returns the entry of exactly this version, judged before: its body is fetched apart from the answer that named
// it. False: it has gone, or was replaced. The error wraps ErrKey or ErrUnavailable.
func (c *Cache) Body(ctx context.Context, k Key, v Version) (*Entry, bool, error) {
	if err := k.Validate(); err != nil {
		return nil, false, err
	}
	if e, ok := c.memory.Get(k.ID()); ok && e.Version == v {
		return e, true, nil
	}
	r, err := c.store.Read(ctx, k, ReadOptions{})
	if err != nil && !errors.Is(err, ErrUnreadable) {
		return nil, false, fmt.Errorf("read body of %q: %w", k.Name, err)
	}
	return r.Entry, r.Entry != nil && r.Entry.Version == v, nil
}
