package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// held is a lease that the session must give back when it ends.
type held struct {
	key     cache.Key
	token   uint64
	request uint64    // the id of the get that it was granted with
	granted time.Time // it is renewed only for so long
	ttl     time.Duration
	expires time.Time // then it is gone by itself
	used    bool      // its holder is done with it, and it may not have ended: it is not renewed
}

// leases are what a session holds. They are guarded by the session's mutex. The zero value is ready.
type leases struct {
	keys    map[cache.ID]held
	sweepAt int
}

// sweepFrom is how many leases are kept without a look at which of them are over: the store may not have taken their writes.
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
	ss.hold(held{key: key, token: l.GetToken(), request: id, ttl: time.Duration(l.GetTtlMs()) * time.Millisecond})
	return nil
}

// hold remembers a lease that was granted just now.
func (ss *session) hold(h held) {
	h.granted = time.Now()
	h.expires = h.granted.Add(h.ttl)
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.leases.add(h)
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

// use says that the holder of a lease is done with it, whatever becomes of what it has asked for.
func (ss *session) use(k *isrdv1.Key, token uint64) {
	key, err := ss.who.key(k)
	if err != nil || token == 0 {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if h, ok := ss.leases.keys[key.ID()]; ok && h.token == token {
		h.used = true
		ss.leases.keys[key.ID()] = h
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

// endLeases frees the leases that the process can no longer fill, so that others need not wait for their TTL. If it is the
// daemon that goes, the process lives on, and they are kept for a while.
func (ss *session) endLeases() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ss.stream.Context()), releaseLimit)
	defer cancel()
	for _, h := range ss.living() { // no request is under way any more
		if !ss.stops {
			ss.giveUp(ctx, h)
		} else if _, err := ss.service.cache.Renew(ctx, h.key, h.token, resumeLimit); err != nil {
			ss.log.Debug("keep lease; it ends by its TTL", slog.String("key", h.key.Name), slog.Any("error", err))
		}
	}
}

func (ss *session) living() []held {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.leases.living()
}

func (ss *session) giveUp(ctx context.Context, h held) {
	if _, err := ss.service.cache.Release(ctx, h.key, h.token, cache.ReleaseOptions{}); err != nil {
		ss.log.Warn("release lease; it ends by its TTL", slog.String("key", h.key.Name), slog.Any("error", err))
	}
}

// renewLeases lets the leases of the session live while it does, each for at most LeaseMax, until ctx ends.
func (ss *session) renewLeases(ctx context.Context) {
	ticker := time.NewTicker(ss.service.cache.LeaseTTL() / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		for _, h := range ss.living() {
			ss.renew(ctx, h)
		}
	}
}

// renew lets one lease live on. One that was taken or has ended is forgotten.
func (ss *session) renew(ctx context.Context, h held) {
	now := time.Now()
	ttl := min(h.ttl, h.granted.Add(ss.service.config.LeaseMax).Sub(now))
	if h.used || ttl <= 0 || !now.Add(ttl).After(h.expires) {
		return
	}
	renewed, err := ss.service.cache.Renew(ctx, h.key, h.token, ttl)
	if err != nil {
		ss.log.Debug("renew lease; it is tried again while it lives", slog.String("key", h.key.Name), slog.Any("error", err))
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	id := h.key.ID()
	switch is := ss.leases.keys[id]; {
	case is.token != h.token:
	case renewed:
		is.expires = now.Add(ttl)
		ss.leases.keys[id] = is
	default:
		delete(ss.leases.keys, id)
	}
}

const (
	// maxClaims bounds the leases of one process: more renders than that are not under way.
	maxClaims = 1024
	// claimWidth is how many are claimed at a time, claimLimit how long the welcome waits for it.
	claimWidth = 16
	claimLimit = 300 * time.Millisecond
)

// claim takes over the leases of the session that this one continues. What is not returned is lost.
func (ss *session) claim(ctx context.Context, claims []*isrdv1.LeaseClaim) []*isrdv1.LeaseClaim {
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	claims = claims[:min(len(claims), maxClaims)]
	granted := make([]*isrdv1.LeaseClaim, len(claims))
	var wg sync.WaitGroup
	turns := make(chan struct{}, claimWidth)
	for i, c := range claims {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			granted[i] = ss.claimOne(ctx, c)
		})
	}
	wg.Wait()
	return slices.DeleteFunc(granted, func(c *isrdv1.LeaseClaim) bool { return c == nil })
}

func (ss *session) claimOne(ctx context.Context, c *isrdv1.LeaseClaim) *isrdv1.LeaseClaim {
	key, err := ss.who.key(c.GetKey())
	if err != nil || c.GetLeaseToken() == 0 || c.GetLeaseToken() > maxToken {
		return nil
	}
	l, err := ss.service.cache.Claim(ctx, key, c.GetLeaseToken(), ss.who.holder)
	if err != nil {
		ss.log.Debug("claim lease", slog.String("key", key.Name), slog.Any("error", err))
		return nil
	}
	if l.Token == 0 {
		return nil
	}
	ss.hold(held{key: key, token: l.Token, ttl: l.TTL})
	return &isrdv1.LeaseClaim{Key: c.GetKey(), LeaseToken: c.GetLeaseToken(), GrantedToken: l.Token}
}
