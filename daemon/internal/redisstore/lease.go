package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// Release implements cache.Store.
func (s *Store) Release(ctx context.Context, key cache.Key, token uint64, opt cache.ReleaseOptions) (bool, error) {
	id := key.ID()
	reply, err := s.run(ctx, releaseScript, s.config.small(), []string{s.keys.lease(id), s.keys.idle(id)},
		number(token), max(opt.Keep, 0).Milliseconds(), s.keys.channel(key.App), string(id),
		bit(opt.Completed), cache.UncacheableAfter, cache.UncacheableFor.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("release lease: %w", err)
	}
	f := fields{list: reply}
	return f.number() == 1, nil
}

// Renew implements cache.Store.
func (s *Store) Renew(ctx context.Context, key cache.Key, token uint64, ttl time.Duration) (bool, error) {
	reply, err := s.run(ctx, renewScript, s.config.small(), []string{s.keys.lease(key.ID())}, number(token), lifetime(ttl))
	if err != nil {
		return false, fmt.Errorf("renew lease: %w", err)
	}
	f := fields{list: reply}
	return f.number() == 1, nil
}

// Claim implements cache.Store.
func (s *Store) Claim(ctx context.Context, key cache.Key, token uint64, opt cache.ClaimOptions) (uint64, error) {
	id, holder := key.ID(), s.holder(opt.Holder)
	reply, err := s.run(ctx, claimScript, s.config.small(), []string{s.keys.entry(id), s.keys.lease(id)},
		number(token), holder, lifetime(opt.TTL))
	if err != nil {
		if lost(err) {
			s.abandoned.add(key, holder, opt.TTL)
		}
		return 0, fmt.Errorf("claim lease: %w", err)
	}
	f := fields{list: reply}
	return f.number(), nil
}

// holder is a name under which a lease can be ended without its token: nobody else's, nor that of any other lease.
func (s *Store) holder(name string) string {
	return fmt.Sprintf("%s#%s.%d", name, s.name, s.grants.Add(1))
}

// lifetime is a lease's, in milliseconds: Redis takes none that is over.
func lifetime(d time.Duration) int64 { return max(d, time.Millisecond).Milliseconds() }

// number is how scripts are given one: exactly.
func number(n uint64) string { return strconv.FormatUint(n, 10) }
