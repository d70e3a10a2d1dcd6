package memstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/lease"
)

// Config of a Store. The zero value works.
type Config struct {
	// MaxBytes bounds the entries, as cache.Entry.Size counts them. Default 256 MiB.
	MaxBytes int64
}

const defaultMaxBytes = 256 << 20

// Store implements cache.Store and cache.Log. It is safe for concurrent use.
type Store struct {
	memory *cache.Memory
	leases *lease.Table
	now    func() int64
	keys   [64]sync.Mutex // each guards the keys whose id begins with it, so that a step on one key is atomic

	mu   sync.Mutex
	logs map[string]*history
}

var (
	_ cache.Store = (*Store)(nil)
	_ cache.Log   = (*Store)(nil)
)

// New returns an empty store.
func New(cfg Config) (*Store, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	memory, err := cache.NewMemory(cfg.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("new embedded store: %w", err)
	}
	// By the monotonic clock, so that setting the wall clock ages nothing.
	begun := time.Now()
	s := &Store{
		memory: memory,
		leases: lease.NewTable(),
		now:    func() int64 { return begun.UnixMilli() + time.Since(begun).Milliseconds() },
		logs:   make(map[string]*history),
	}
	return s, nil
}

// Memory is where the entries are. A Get of it is the cheapest way to look for one; it does not say whether the
// lifetime of the entry is over.
func (s *Store) Memory() *cache.Memory { return s.memory }

// Now implements cache.Store.
func (s *Store) Now() int64 { return s.now() }

// Close lets the entries go.
func (s *Store) Close() error {
	s.memory.Close()
	return nil
}

// sweepInterval is how often leases that have ended are forgotten. Nothing but memory depends on it.
const sweepInterval = time.Second

// Run forgets leases that have ended, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.leases.Sweep(s.now())
		case <-ctx.Done():
			return nil
		}
	}
}

// Read implements cache.Store.
func (s *Store) Read(ctx context.Context, key cache.Key, opt cache.ReadOptions) (cache.Reading, error) {
	if err := unavailable(ctx, "read"); err != nil {
		return cache.Reading{}, err
	}
	id, now := key.ID(), s.now()
	mu := s.lock(id)
	defer mu.Unlock()

	var (
		r        cache.Reading
		previous uint64
	)
	if e := s.live(id, now); e != nil {
		previous = e.Version.Token
		if opt.Judged.Less(e.Version) {
			r.Entry = e
		}
	}
	var is lease.Standing
	if r.Entry != nil || !opt.Lease {
		is = s.leases.Look(string(id), previous, now)
	} else {
		l := lease.Lease{Key: string(id), Holder: opt.Holder, TTL: opt.TTL}
		is = s.leases.Acquire(l, previous, now, opt.Override)
	}
	r.Token, r.Granted, r.Kept, r.Uncacheable, r.Left = is.Token, is.Granted, is.Kept, is.Uncacheable, is.Left
	r.Held = !is.Granted && is.Left > 0
	return r, nil
}

// Write implements cache.Store.
func (s *Store) Write(ctx context.Context, e *cache.Entry, opt cache.WriteOptions) (bool, error) {
	if err := unavailable(ctx, "write"); err != nil {
		return false, err
	}
	id := e.Key.ID()
	stored, released := s.write(id, e, opt)
	switch {
	case stored:
		s.tell(e.Key.App, func(f cache.Follower) { f.Written(id, e.Version) })
	case released:
		s.tell(e.Key.App, func(f cache.Follower) { f.Released(id) })
	}
	return stored, nil
}

func (s *Store) write(id cache.ID, e *cache.Entry, opt cache.WriteOptions) (stored, released bool) {
	now := s.now()
	mu := s.lock(id)
	defer mu.Unlock()
	there := s.live(id, now)
	if there == nil {
		s.memory.Delete(id) // it may be there and be over: then its version counts no more
	}
	if there == nil || !opt.OnlyIfAbsent {
		kept := *e
		kept.Created = now
		if opt.Created > 0 {
			kept.Created = min(opt.Created, now)
		}
		stored = s.memory.Put(&kept)
	}
	if stored {
		s.leases.Written(string(id))
	}
	return stored, opt.Lease != 0 && s.leases.Release(string(id), opt.Lease, 0, now)
}

// Release implements cache.Store.
func (s *Store) Release(ctx context.Context, key cache.Key, token uint64, opt cache.ReleaseOptions) (bool, error) {
	if err := unavailable(ctx, "release"); err != nil {
		return false, err
	}
	id, now := key.ID(), s.now()
	mu := s.lock(id)
	released := s.leases.Release(string(id), token, opt.Keep, now)
	if released && opt.Completed {
		s.leases.Idle(string(id), cache.UncacheableAfter, cache.UncacheableFor, now)
	}
	mu.Unlock()
	if released {
		s.tell(key.App, func(f cache.Follower) { f.Released(id) })
	}
	return released, nil
}

// Renew implements cache.Store.
func (s *Store) Renew(ctx context.Context, key cache.Key, token uint64, ttl time.Duration) (bool, error) {
	if err := unavailable(ctx, "renew"); err != nil {
		return false, err
	}
	return s.leases.Renew(string(key.ID()), token, ttl, s.now()), nil
}

// Claim implements cache.Store.
func (s *Store) Claim(ctx context.Context, key cache.Key, token uint64, opt cache.ClaimOptions) (uint64, error) {
	if err := unavailable(ctx, "claim"); err != nil {
		return 0, err
	}
	id, now := key.ID(), s.now()
	mu := s.lock(id)
	defer mu.Unlock()
	var written uint64
	if e := s.live(id, now); e != nil {
		written = e.Version.Token
	}
	return s.leases.Claim(string(id), token, written, opt.TTL, now), nil
}

// live returns the entry unless its lifetime is over, as Redis would have it.
func (s *Store) live(id cache.ID, now int64) *cache.Entry {
	e, ok := s.memory.Get(id)
	if !ok || e.Age(now) >= e.Lifetime.TTL() {
		return nil
	}
	return e
}

func (s *Store) lock(id cache.ID) *sync.Mutex {
	var n byte
	for i := range min(2, len(id)) {
		n = n<<4 + id[i]
	}
	mu := &s.keys[int(n)%len(s.keys)]
	mu.Lock()
	return mu
}

// unavailable refuses what nobody waits for any more, as a store with a connection would.
func unavailable(ctx context.Context, what string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %w", what, cache.ErrUnavailable, context.Cause(ctx))
}
