package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// Read implements cache.Store. It is one round trip; one more for a large value, and one more if the value there cannot be
// read and the lease is wanted.
func (s *Store) Read(ctx context.Context, key cache.Key, opt cache.ReadOptions) (cache.Reading, error) {
	r, damaged, err := s.read(ctx, key, opt)
	if errors.Is(err, errWent) {
		r, damaged, err = s.read(ctx, key, opt)
	}
	if err != nil && !damaged.IsZero() && opt.Lease {
		// The script took the value for a good one and granted nothing. Nobody will repair it but the next write.
		unreadable := err
		opt.Judged = damaged
		if r, _, err = s.read(ctx, key, opt); err == nil && r.Entry == nil {
			err = unreadable
		}
	}
	return r, err
}

// read is Read, once. damaged is the version of a value that is newer than judged and cannot be read.
func (s *Store) read(ctx context.Context, key cache.Key, opt cache.ReadOptions) (r cache.Reading, damaged cache.Version, err error) {
	found, err := s.look(ctx, key, opt)
	if err != nil {
		return r, damaged, fmt.Errorf("read entry: %w", err)
	}
	r = found.Reading
	switch found.kind {
	case "":
		if !found.there {
			return r, damaged, nil
		}
		r.Entry, damaged, err = decode(s.coder, key, []byte(found.value))
	case "large":
		r.Entry, damaged, err = s.fetch(ctx, key, found.size, opt.Judged)
	default:
		err = unreadable(found.kind, errors.New("not a value of this isrd; a newer write replaces it"))
	}
	if err != nil {
		s.noteUnreadable(key, err)
		return r, damaged, fmt.Errorf("read entry: %w", err)
	}
	return r, cache.Version{}, nil
}

// found is the reply of read.lua.
type found struct {
	cache.Reading
	value string
	there bool
	kind  string // why the value was not returned, or empty
	size  int    // of a large value
}

// look runs read.lua.
func (s *Store) look(ctx context.Context, key cache.Key, opt cache.ReadOptions) (found, error) {
	id := key.ID()
	holder := opt.Holder
	if opt.Lease {
		holder = s.holder(opt.Holder)
	}
	reply, err := s.run(ctx, readScript, s.config.small(), []string{s.keys.entry(id), s.keys.lease(id), s.keys.idle(id)},
		opt.Judged.String(), bit(opt.Lease), bit(opt.Override), holder, lifetime(opt.TTL), largeValue)
	if err != nil {
		if opt.Lease && lost(err) {
			s.abandoned.add(key, holder, opt.TTL)
		}
		return found{}, err
	}
	var r found
	f := fields{list: reply}
	r.value, r.there = f.optional()
	r.kind = f.text()
	r.Token = f.number()
	r.Granted = f.number() == 1
	r.Left = time.Duration(f.number()) * time.Millisecond
	r.Held = !r.Granted && r.Left > 0
	switch f.number() {
	case 1:
		r.Kept = true
	case 2:
		r.Uncacheable = true
	}
	r.size = int(f.number()) //nolint:gosec // a value in Redis has at most 512 MiB
	if f.bad {
		return found{}, fmt.Errorf("%w: unexpected reply", cache.ErrUnavailable)
	}
	return r, nil
}

// errWent says that a large value was deleted or replaced by an older one between two steps.
var errWent = fmt.Errorf("%w: the value went while it was read", cache.ErrUnavailable)

// fetch reads a large value. A newer one than was found is as good; damaged is as of read.
func (s *Store) fetch(ctx context.Context, key cache.Key, size int, judged cache.Version) (e *cache.Entry, damaged cache.Version, err error) {
	var value []byte
	err = s.do(ctx, "fetch", s.config.transfer(size), func(ctx context.Context) (err error) {
		value, err = s.server.Get(ctx, s.keys.entry(key.ID()))
		return err
	})
	switch {
	case err != nil:
		return nil, damaged, err
	case value == nil:
		return nil, damaged, errWent
	}
	e, damaged, err = decode(s.coder, key, value)
	if err == nil && !judged.Less(e.Version) {
		return nil, cache.Version{}, errWent
	}
	return e, damaged, err
}

// noteUnreadable counts every such value and logs the first of each kind: there may be thousands of them.
func (s *Store) noteUnreadable(key cache.Key, err error) {
	var u *unreadableError
	if !errors.As(err, &u) {
		return
	}
	s.metrics.unreadable.WithLabelValues(u.kind).Inc()
	if _, before := s.said.LoadOrStore(u.kind, true); !before {
		s.log.Warn("stored value is unreadable and counts as absent; more of the kind are only counted",
			slog.String("kind", u.kind), slog.String("app", key.App), slog.String("key", key.Name),
			slog.String("redis_key", s.keys.entry(key.ID())), slog.Any("error", err))
	}
}
