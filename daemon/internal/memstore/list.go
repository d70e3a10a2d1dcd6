package memstore

import (
	"context"

	"github.com/isrd/isrd/daemon/internal/cache"
)

var _ cache.Lister = (*Store)(nil)

// List implements cache.Lister.
func (s *Store) List(ctx context.Context, opt cache.ListOptions, each func(cache.Listed) bool) error {
	if err := unavailable(ctx, "list"); err != nil {
		return err
	}
	now := s.now()
	for _, e := range s.memory.Entries() {
		if !opt.Selects(e.Key) || e.Age(now) >= e.Lifetime.TTL() {
			continue
		}
		if !each(cache.Listed{Key: e.Key, Lifetime: e.Lifetime, Meta: e.Meta}) {
			return nil
		}
	}
	return nil
}
