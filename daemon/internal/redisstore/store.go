package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// Store implements cache.Store and cache.Log on Redis. It is safe for concurrent use. Run must be running for Follow to
// work, for events and hints to arrive, and for the store to notice that Redis hangs.
type Store struct {
	config    Config
	keys      keys
	server    Server
	coder     Coder
	clock     *clock
	breaker   breaker
	log       *slog.Logger
	metrics   *metrics
	bus       bus
	abandoned abandoned
	name      string        // of this store, as no other has it
	grants    atomic.Uint64 // of leases, that were asked for
	said      sync.Map      // kinds of unreadable values that were logged
}

// New returns a store. It opens no connection and starts nothing; Close it all the same. The error says what is wrong
// with cfg, without the password.
func New(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if cfg.Coder == nil {
		return nil, errors.New("new Redis store: Coder is missing; give it a codec.Coder")
	}
	k, err := newKeys(cfg.Prefix)
	if err != nil {
		return nil, fmt.Errorf("new Redis store: %w", err)
	}
	server := cfg.Server
	if server == nil {
		if server, err = newClient(cfg); err != nil {
			return nil, fmt.Errorf("new Redis store: %w", err)
		}
	}
	s := &Store{
		config: cfg, keys: k, server: server, coder: cfg.Coder, clock: newClock(),
		log: cfg.Logger, metrics: newMetrics(cfg.Registerer, server),
		name: cmp.Or(cfg.Name, rand.Text()), abandoned: abandoned{signal: make(chan struct{}, 1)},
	}
	s.breaker.onChange = s.changed
	s.bus.init(s)
	return s, nil
}

// Close closes the connections. Run should have returned.
func (s *Store) Close() error {
	if err := s.server.Close(); err != nil {
		return fmt.Errorf("close Redis store: %w", err)
	}
	return nil
}

// Ping asks whether Redis answers, also while operations fail at once. The error wraps cache.ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	return s.try(ctx, "ping", s.config.small(), s.server.Ping)
}

// Now implements cache.Store.
func (s *Store) Now() int64 { return s.clock.now() }

// maxExact is the largest number that a script can count with; epochs, seqs and tokens stay far below.
const maxExact = 1 << 53

// Write implements cache.Store. An entry that cannot be encoded is an error that does not wrap cache.ErrUnavailable.
func (s *Store) Write(ctx context.Context, e *cache.Entry, opt cache.WriteOptions) (bool, error) {
	if v := e.Version; max(v.Epoch, v.Seq, v.Token) >= maxExact {
		return false, fmt.Errorf("write entry: version %v is above 2^53", v)
	}
	value, err := encode(s.coder, e)
	if err != nil {
		return false, fmt.Errorf("write entry: %w", err)
	}
	id := e.Key.ID()
	reply, err := s.run(ctx, writeScript, s.config.transfer(len(value)), []string{s.keys.entry(id), s.keys.lease(id), s.keys.idle(id)},
		e.Version.String(), lifetime(e.Lifetime.TTL()), number(opt.Lease),
		bit(opt.OnlyIfAbsent), s.keys.channel(e.Key.App), string(id), value, opt.Created)
	if err != nil {
		return false, fmt.Errorf("write entry: %w", err)
	}
	f := fields{list: reply}
	return f.number() == 1, nil
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// fields takes a script's reply apart. Once something is not as expected, everything is zero and bad is set.
type fields struct {
	list []any
	bad  bool
}

func (f *fields) next() any {
	if len(f.list) == 0 {
		f.bad = true
		return nil
	}
	v := f.list[0]
	f.list = f.list[1:]
	return v
}

func (f *fields) optional() (string, bool) {
	s, ok := f.next().(string)
	return s, ok
}

func (f *fields) text() string {
	s, ok := f.optional()
	f.bad = f.bad || !ok
	return s
}

// number reads a number, which a script may also give as text; TIME does.
func (f *fields) number() uint64 {
	switch v := f.next().(type) {
	case int64:
		if v >= 0 {
			return uint64(v)
		}
	case string:
		if n, err := strconv.ParseUint(v, 10, 64); err == nil {
			return n
		}
	}
	f.bad = true
	return 0
}
