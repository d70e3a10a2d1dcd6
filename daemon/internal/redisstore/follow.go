package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// streamLength is about how many events a log's stream keeps, and so how far behind a follower may be before it has to
// load the whole table.
const streamLength = 4096

// follow is one app that this daemon follows.
type follow struct {
	app      string
	follower cache.Follower
	ready    chan struct{} // closed after the first load
	checked  time.Time     // guarded by bus.mu: when its position was compared last

	turn     chan struct{} // a token: whoever holds it catches up
	madeGood uint64        // the epoch to which whoever did has given what it lacked
	awaits   awaits

	mu       sync.Mutex // held while the follower is told, so that it hears things one at a time and in order
	position tag.Position
	loaded   bool
	past     map[uint64]uint64 // as it was loaded
	whole    bool              // the next load must not rely on events
	until    time.Time         // the follower is vouched for
}

func newFollow(app string, by cache.Follower) *follow {
	return &follow{app: app, follower: by, ready: make(chan struct{}), turn: make(chan struct{}, 1), awaits: newAwaits()}
}

// event tells the follower of e if it is the next one. False: something is missing before it.
func (f *follow) event(e event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := f.position
	switch {
	case !f.loaded || e.Position.Epoch != is.Epoch:
		return false
	case e.Position.Seq < is.Seq:
		return true
	case e.Position.Seq == is.Seq:
		return e.Position.Nonce == is.Nonce
	case e.Position.Seq > is.Seq+1 || e.previous != is.Nonce:
		return false
	}
	f.position = e.Position
	f.follower.Event(e.Event)
	return true
}

// load tells the follower the whole, unless it got beyond it in the meantime.
func (f *follow) load(s tag.Snapshot, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.whole = false
	if f.loaded && s.Position.Before(f.position) {
		return
	}
	f.position, f.past = s.Position, s.Past
	f.follower.Load(s, reason)
	if !f.loaded {
		f.loaded = true
		close(f.ready)
	}
}

// hint tells the follower what needs no order. Before the first load it has nothing that a hint could concern.
func (f *follow) hint(m told) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.loaded:
	case m.written != nil:
		f.follower.Written(m.written.id, m.written.version)
	case m.released != "":
		f.follower.Released(m.released)
	}
}

// vouched reports whether every revalidation that was acknowledged to anybody is known to the follower.
func (f *follow) vouched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.until)
}

// explains reports whether the event is one of those that the follower knows.
func (f *follow) explains(p tag.Position) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Epoch == f.position.Epoch {
		return p.Seq <= f.position.Seq
	}
	known, ok := f.past[p.Epoch]
	return ok && p.Seq <= known
}

// lastOf is the last event that the follower knows of the epoch of p, which is p if nothing else is known.
func (f *follow) lastOf(p tag.Position) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.position.Epoch == p.Epoch {
		return max(p.Seq, f.position.Seq)
	}
	return p.Seq
}

func (f *follow) vouch(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if until.After(f.until) {
		f.until = until
	}
}

func (f *follow) state() (p tag.Position, loaded, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position, f.loaded, f.whole
}

func (f *follow) wantWhole() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.whole = true
}

// Follow implements cache.Log. It returns within OpTimeout. An app stays followed although Follow returned an error:
// f.Load is then called as soon as Redis is there, and the next Follow of the app, by the same f, says so.
func (s *Store) Follow(ctx context.Context, app string, f cache.Follower) error {
	follow, err := s.bus.follow(ctx, app, f)
	if err != nil {
		return err
	}
	select {
	case <-follow.ready:
		return nil
	default:
	}
	if err := s.breaker.allow(); err != nil {
		return fmt.Errorf("follow %q: %w: %w", app, cache.ErrUnavailable, err)
	}
	timer := time.NewTimer(s.config.OpTimeout)
	defer timer.Stop()
	select {
	case <-follow.ready:
		return nil
	case <-timer.C:
		return fmt.Errorf("follow %q: %w: no answer within %v", app, cache.ErrUnavailable, s.config.OpTimeout)
	case <-ctx.Done():
		return fmt.Errorf("follow %q: %w: %w", app, cache.ErrUnavailable, context.Cause(ctx))
	}
}

// Append implements cache.Log. If this daemon's follower knows all events before, it has this one too when Append
// returns; otherwise it gets it with them, at once. After an error the event may be in the log or not, and may be
// appended again: marking twice is as good as marking once.
func (s *Store) Append(ctx context.Context, app string, revalidations []tag.Revalidation) (tag.Position, error) {
	f := s.bus.find(app)
	var known tag.Position
	if f != nil {
		known, _, _ = f.state()
	}
	nonce := rand.Text()
	args := []any{
		s.keys.channel(app), number(max(known.Epoch, known.Seq)), nonce, streamLength, cache.Bound.Milliseconds(),
		appendRevalidations(nil, revalidations),
	}
	for _, r := range revalidations {
		args = append(args, r.Tag, expiry(r))
	}
	reply, err := s.run(ctx, appendScript, s.config.small(), s.logKeys(app), args...)
	if err != nil {
		return tag.Position{}, fmt.Errorf("append to log of %q: %w", app, err)
	}
	r := fields{list: reply}
	e := event{Event: tag.Event{Position: tag.Position{Epoch: r.number(), Seq: r.number(), Nonce: nonce}}}
	e.previous = r.text()
	e.At = int64(r.number()) //nolint:gosec // milliseconds
	e.Marks = marksAt(revalidations, e.At)
	others := r.members(time.Now())
	if r.bad {
		return tag.Position{}, fmt.Errorf("append to log of %q: %w: unexpected reply", app, cache.ErrUnavailable)
	}
	if f != nil {
		f.awaits.add(e.Position, others)
		if !f.event(e) {
			s.bus.behind(f)
		}
	}
	return e.Position, nil
}

// logKeys are the hash and the stream.
func (s *Store) logKeys(app string) []string { return []string{s.keys.log(app), s.keys.events(app)} }

// events tells the follower what it had missed.
func (f *follow) events(list []any) error {
	for _, v := range list {
		text, _ := v.(string)
		e, err := parseEvent(text)
		if err == nil && !f.event(e) {
			err = fmt.Errorf("event %v does not follow", e.Position)
		}
		if err != nil {
			f.wantWhole()
			return fmt.Errorf("events of %q: %w", f.app, err)
		}
	}
	return nil
}

// gap notes that events had been missed. The first load is none.
func (s *Store) gap(ctx context.Context, f *follow, l loaded) {
	if !l.began {
		return
	}
	s.metrics.gaps.WithLabelValues(l.kind).Inc()
	level := slog.LevelInfo
	if l.kind == "whole" {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "events had been missed; made good",
		slog.String("app", f.app), slog.String("by", l.kind), slog.String("reason", l.why), slog.String("position", l.known.String()))
}
