package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// Prove implements cache.Log.
func (s *Store) Prove(ctx context.Context, app string, told tag.Position) (time.Time, error) {
	f := s.bus.find(app)
	if f == nil {
		return time.Time{}, fmt.Errorf("prove log of %q: %w: it is not followed", app, cache.ErrUnavailable)
	}
	s.bus.checkedNow(f)
	until, err := s.catchUpTo(ctx, f, s.name, told.Seq)
	if err != nil {
		return time.Time{}, fmt.Errorf("prove log of %q: %w", app, err)
	}
	f.vouch(until)
	return until, nil
}

// slack is how many fields the hash has beside its tags, or a few more.
const slack = 64

// crowded reports whether the table is to be pruned.
func (s *Store) crowded(l loaded) bool { return l.size > uint64(s.config.MaxTags)+slack } //nolint:gosec // configured, not negative

// catchUp brings a follower up to date with its log, without a word about what it vouches for.
func (s *Store) catchUp(ctx context.Context, f *follow) error {
	if _, err := s.catchUpTo(ctx, f, "", 0); err != nil && !errors.Is(err, cache.ErrDoubted) {
		return err
	}
	return nil
}

const (
	// quickFields is how large a table may be to be loaded within the time of an ordinary operation.
	quickFields = 2000
	allFields   = 1 << 40
	// maxLoads bounds the attempts to load a table that has to be made good first.
	maxLoads = 4
)

// catchUpTo brings a follower up to date with its log, one caller at a time. A member is vouched for until the returned
// time, which counts from before the question; it may be over. An error that wraps cache.ErrDoubted says that the follower
// is up to date with a log that may lack something.
func (s *Store) catchUpTo(ctx context.Context, f *follow, member string, told uint64) (time.Time, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("%w: %w", cache.ErrUnavailable, context.Cause(ctx))
	}
	limit, fields := s.config.small(), quickFields
	var why string // it was loaded first
	for range maxLoads {
		sent := time.Now()
		l, err := s.load(ctx, f, limit, member, told, fields)
		if err != nil {
			return time.Time{}, err
		}
		l.why = cmp.Or(why, l.why)
		again, err := s.take(ctx, f, l)
		switch {
		case err != nil:
			return time.Time{}, err
		case again:
			why, limit.within, fields = l.why, s.config.loadTimeout(), allFields
			continue
		case s.crowded(l) && member != "":
			s.bus.behind(f) // it is pruned when nobody waits
		case s.crowded(l):
			s.prune(ctx, f)
		}
		switch {
		case l.doubted:
			return time.Time{}, fmt.Errorf("%w, for %d ms", cache.ErrDoubted, l.quiet)
		case l.quiet > 0:
			return sent, nil
		default:
			return sent.Add(cache.Bound), nil
		}
	}
	return time.Time{}, fmt.Errorf("load log of %q: %w: it begins anew again and again", f.app, cache.ErrUnavailable)
}

// loaded is the reply of load.lua.
type loaded struct {
	kind, why string
	size      uint64 // fields of the hash
	quiet     uint64 // milliseconds
	doubted   bool
	list      []any
	known     tag.Position // that it was asked with
	began     bool         // the follower had been loaded before
}

// load runs load.lua for a follower.
func (s *Store) load(ctx context.Context, f *follow, l limit, member string, told uint64, atMost int) (loaded, error) {
	known, began, whole := f.state()
	out, err := s.ask(ctx, f.app, l, known, whole, member, told, atMost)
	out.began = began
	return out, err
}

// ask runs load.lua.
func (s *Store) ask(ctx context.Context, app string, l limit, known tag.Position, whole bool, member string, told uint64, atMost int) (loaded, error) {
	reply, err := s.run(ctx, loadScript, l, s.logKeys(app), number(known.Epoch), number(known.Seq), known.Nonce, streamLength,
		bit(whole), s.keys.channel(app), member, number(told), cache.Bound.Milliseconds(), atMost)
	if err != nil {
		return loaded{}, fmt.Errorf("load log of %q: %w", app, err)
	}
	r := fields{list: reply}
	out := loaded{kind: r.text(), why: r.text(), known: known}
	_, _ = r.number(), r.number()
	out.size, out.quiet, out.doubted = r.number(), r.number(), r.number() == 1
	out.list = r.list
	if r.bad {
		return loaded{}, fmt.Errorf("load log of %q: %w: unexpected reply", app, cache.ErrUnavailable)
	}
	return out, nil
}

// take tells the follower what was loaded. True: it must be loaded again, the whole of it.
func (s *Store) take(ctx context.Context, f *follow, l loaded) (again bool, err error) {
	switch l.kind {
	case "large":
		return true, nil
	case "events":
		s.gap(ctx, f, l)
		return false, f.events(l.list)
	case "whole":
		snapshot, err := parseSnapshot(l.list)
		if err != nil {
			return false, fmt.Errorf("load log of %q: %w", f.app, err)
		}
		if l.began && snapshot.Position.Epoch != l.known.Epoch {
			if again, err := s.makeGood(ctx, f, snapshot); again || err != nil {
				return again, err
			}
		}
		s.gap(ctx, f, l)
		f.load(snapshot, l.why)
	}
	return false, nil
}
