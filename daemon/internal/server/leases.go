package server

import (
	"context"
	"log/slog"
	"slices"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// held is a lease that the session must give back when it ends.
type held struct {
	key     cache.Key
	token   uint64
	request uint64    // the id of the get that it was granted with
	expires time.Time // then it is gone by itself
}

// leases are what a session holds. They are guarded by the session's mutex. The zero value is ready.
type leases struct {
	keys    map[cache.ID]held
	sweepAt int
}

// sweepFrom is how many leases are kept without a look at which of them are over: their writes may have come beside the
// session, as large ones do.
const sweepFrom = 1024

func (l *leases) add(h held) {
	if l.keys == nil {
		l.keys, l.sweepAt = make(map[cache.ID]held), sweepFrom
	}
	if len(l.keys) >= l.sweepAt {
		now := time.Now()
		for id, h := range l.keys {
			if now.After(h.expires) {
				delete(l.keys, id)
			}
		}
		l.sweepAt = max(sweepFrom, 2*len(l.keys))
	}
	l.keys[h.key.ID()] = h
}

// living are the leases that have not run out, the newest first.
func (l *leases) living() []held {
	now := time.Now()
	var out []held
	for _, h := range l.keys {
		if now.Before(h.expires) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b held) int { return b.expires.Compare(a.expires) })
	return out
}

// keep remembers the lease of an answer, to give it back with the session.
func (ss *session) keep(id uint64, k *isrdv1.Key, l *isrdv1.Lease) error {
	if l.GetToken() == 0 {
		return nil
	}
	key, err := ss.who.key(k)
	if err != nil {
		return err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.leases.add(held{key: key, token: l.GetToken(), request: id, expires: time.Now().Add(time.Duration(l.GetTtlMs()) * time.Millisecond)})
	return nil
}

// forget drops a lease that has ended.
func (ss *session) forget(k *isrdv1.Key, token uint64) {
	key, err := ss.who.key(k)
	if err != nil || token == 0 {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.leases.keys[key.ID()].token == token {
		delete(ss.leases.keys, key.ID())
	}
}

// takeBack takes the lease that a get was answered with, whose caller has gone: the answer and the cancellation have
// crossed.
func (ss *session) takeBack(request uint64) (held, bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for id, h := range ss.leases.keys {
		if h.request == request {
			delete(ss.leases.keys, id)
			return h, true
		}
	}
	return held{}, false
}

// giveBack releases the lease that a get was answered with, if its caller no longer wants it.
func (ss *session) giveBack(ctx context.Context, request uint64) {
	if h, ok := ss.takeBack(request); ok {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
		defer cancel()
		ss.giveUp(ctx, h)
	}
}

// releaseAll frees the leases that the process can no longer fill, so that others need not wait for their TTL.
func (ss *session) releaseAll() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ss.stream.Context()), releaseLimit)
	defer cancel()
	for _, h := range ss.leases.living() { // no request is under way any more
		ss.giveUp(ctx, h)
	}
}

func (ss *session) giveUp(ctx context.Context, h held) {
	if _, err := ss.service.cache.Release(ctx, h.key, h.token, 0); err != nil {
		ss.log.Warn("release lease; it ends by its TTL", slog.String("key", h.key.Name), slog.Any("error", err))
	}
}
