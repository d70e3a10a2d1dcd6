package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strconv"
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

	mu       sync.Mutex // held while the follower is told, so that it hears things one at a time and in order
	position tag.Position
	loaded   bool
	whole    bool // the next load must not rely on events
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
	if f.loaded && s.Position.Epoch == f.position.Epoch && s.Position.Seq < f.position.Seq {
		return
	}
	f.position = s.Position
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
	known := uint64(0)
	if f != nil {
		p, _, _ := f.state()
		known = p.Epoch
	}
	nonce := rand.Text()
	args := []any{s.keys.channel(app), strconv.FormatUint(known, 10), nonce, streamLength, appendRevalidations(nil, revalidations)}
	for _, r := range revalidations {
		args = append(args, r.Tag, expiry(r))
	}
	reply, err := s.run(ctx, appendScript, s.config.small(), []string{s.keys.log(app), s.keys.events(app)}, args...)
	if err != nil {
		return tag.Position{}, fmt.Errorf("append to log of %q: %w", app, err)
	}
	r := fields{list: reply}
	e := event{Event: tag.Event{Position: tag.Position{Epoch: r.number(), Seq: r.number(), Nonce: nonce}}}
	e.previous = r.text()
	e.At = int64(r.number())
	e.Marks = marksAt(revalidations, e.At)
	if r.bad {
		return tag.Position{}, fmt.Errorf("append to log of %q: %w: unexpected reply", app, cache.ErrUnavailable)
	}
	if f != nil && !f.event(e) {
		s.bus.behind(f)
	}
	return e.Position, nil
}

// catchUp brings a follower up to date with its log. One is at work per app.
func (s *Store) catchUp(ctx context.Context, f *follow) error {
	known, loaded, whole := f.state()
	reply, err := s.run(ctx, loadScript, limit{within: s.config.loadTimeout()}, []string{s.keys.log(f.app), s.keys.events(f.app)},
		strconv.FormatUint(known.Epoch, 10), strconv.FormatUint(known.Seq, 10), known.Nonce, streamLength, bit(whole),
		s.keys.channel(f.app))
	if err != nil {
		return fmt.Errorf("load log of %q: %w", f.app, err)
	}
	r := fields{list: reply}
	kind, why := r.text(), r.text()
	if len(reply) < 4 || r.bad {
		return fmt.Errorf("load log of %q: %w: unexpected reply", f.app, cache.ErrUnavailable)
	}
	rest := reply[4:]
	switch kind {
	case "events":
		s.gap(ctx, f, kind, why, known, loaded)
		return f.events(rest)
	case "whole":
		snapshot, err := parseSnapshot(rest)
		if err != nil {
			return fmt.Errorf("load log of %q: %w", f.app, err)
		}
		s.gap(ctx, f, kind, why, known, loaded)
		f.load(snapshot, why)
	}
	return nil
}

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
func (s *Store) gap(ctx context.Context, f *follow, by, why string, known tag.Position, loaded bool) {
	if !loaded {
		return
	}
	s.metrics.gaps.WithLabelValues(by).Inc()
	level := slog.LevelInfo
	if by == "whole" {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "events had been missed; made good",
		slog.String("app", f.app), slog.String("by", by), slog.String("reason", why), slog.String("position", known.String()))
}
