package redisstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/isrd/isrd/daemon/internal/cache"
)

//go:embed scripts/*.lua
var files embed.FS

// source reads scripts and joins them: a script and the preludes it needs.
func source(names ...string) string {
	var all string
	for _, n := range names {
		b, err := files.ReadFile("scripts/" + n + ".lua")
		if err != nil {
			panic(err) // it is part of the binary
		}
		all += string(b)
	}
	return all
}

var (
	readScript    = newScript("read", source("entry", "read"))
	writeScript   = newScript("write", source("entry", "write"))
	releaseScript = newScript("release", source("entry", "release"))
	appendScript  = newScript("append", source("log", "append"))
	loadScript    = newScript("load", source("log", "load"))
)

// Store implements cache.Store and cache.Log on Redis. It is safe for concurrent use. Run must be running for Follow to
// work, for events and hints to arrive, and for the store to notice that Redis hangs.
type Store struct {
	config  Config
	keys    keys
	client  redis.UniversalClient
	coder   Coder
	clock   *clock
	breaker breaker
	log     *slog.Logger
	metrics *metrics
	bus     bus
	said    sync.Map // kinds of unreadable values that were logged
}

var (
	_ cache.Store = (*Store)(nil)
	_ cache.Log   = (*Store)(nil)
)

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
	client, err := newClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("new Redis store: %w", err)
	}
	s := &Store{
		config: cfg, keys: k, client: client, coder: cfg.Coder, clock: newClock(),
		log: cfg.Logger, metrics: newMetrics(cfg.Registerer, client),
	}
	s.breaker.onChange = s.changed
	s.bus.init(s)
	return s, nil
}

// Close closes the connections. Run should have returned.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close Redis store: %w", err)
	}
	return nil
}

// Ping asks whether Redis answers, also while operations fail at once. The error wraps cache.ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	return s.try(ctx, "ping", s.config.OpTimeout, func(ctx context.Context) error { return ping(ctx, s.client) })
}

// Now implements cache.Store.
func (s *Store) Now() int64 { return s.clock.now() }

// maxExact is the largest number that a script can count with; epochs, seqs and tokens stay far below.
const maxExact = 1 << 53

// Read implements cache.Store. It is one round trip, or two if the value there cannot be read and the lease is wanted.
func (s *Store) Read(ctx context.Context, key cache.Key, opt cache.ReadOptions) (cache.Reading, error) {
	r, damaged, err := s.read(ctx, key, opt)
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
	id := key.ID()
	reply, err := s.run(ctx, readScript, s.config.OpTimeout, []string{s.keys.entry(id), s.keys.lease(id)},
		opt.Judged.String(), bit(opt.Lease), bit(opt.Override), opt.Holder, max(opt.TTL, time.Millisecond).Milliseconds())
	if err != nil {
		return r, damaged, fmt.Errorf("read entry: %w", err)
	}
	f := fields{list: reply}
	value, there := f.optional()
	kind := f.text()
	r.Token = f.number()
	r.Granted = f.number() == 1
	r.Left = time.Duration(f.number()) * time.Millisecond
	r.Held = !r.Granted && r.Left > 0
	r.Kept = f.number() == 1
	if f.bad {
		return cache.Reading{}, damaged, fmt.Errorf("read entry: %w: unexpected reply", cache.ErrUnavailable)
	}
	switch {
	case there:
		if r.Entry, damaged, err = decode(s.coder, key, []byte(value)); err == nil {
			return r, cache.Version{}, nil
		}
	case kind != "":
		err = unreadable(kind, errors.New("not a value of this isrd; a newer write replaces it"))
	default:
		return r, damaged, nil
	}
	s.noteUnreadable(key, err)
	return r, damaged, fmt.Errorf("read entry: %w", err)
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
	reply, err := s.run(ctx, writeScript, s.config.writeTimeout(len(value)), []string{s.keys.entry(id), s.keys.lease(id)},
		e.Version.String(), max(e.Lifetime.TTL(), time.Millisecond).Milliseconds(), strconv.FormatUint(opt.Lease, 10),
		bit(opt.OnlyIfAbsent), s.keys.channel(e.Key.App), string(id), value)
	if err != nil {
		return false, fmt.Errorf("write entry: %w", err)
	}
	f := fields{list: reply}
	return f.number() == 1, nil
}

// Release implements cache.Store.
func (s *Store) Release(ctx context.Context, key cache.Key, token uint64, keep time.Duration) (bool, error) {
	id := key.ID()
	reply, err := s.run(ctx, releaseScript, s.config.OpTimeout, []string{s.keys.lease(id)},
		strconv.FormatUint(token, 10), max(keep, 0).Milliseconds(), s.keys.channel(key.App), string(id))
	if err != nil {
		return false, fmt.Errorf("release lease: %w", err)
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
