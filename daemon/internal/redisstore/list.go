package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/isrd/isrd/daemon/internal/cache"
)

var _ cache.Lister = (*Store)(nil)

// Scanner is a Server that can go through its keys.
type Scanner interface {
	// Scan calls each with the first bytes of the strings whose keys match the pattern, in steps that hold up nobody. It
	// ends with each's error, if that has one. A key may come more than once.
	Scan(ctx context.Context, pattern string, first int, each func(key string, value []byte) error) error
}

// HeadReader is a Coder that can read the beginning of a frame.
type HeadReader interface {
	// Head returns what is there of the header of a frame of which only the beginning is there.
	Head(beginning []byte) ([]byte, bool)
}

// headSize is what is read of a value to learn its key. A name of Next.js is a path and hardly ever longer than a few
// hundred bytes; of what is longer than this, the entry is not listed.
const headSize = 4 << 10

// ErrNoList says that the store's parts cannot list.
var ErrNoList = errors.New("this store cannot list its entries")

// errEnough ends a scan.
var errEnough = errors.New("enough")

// List implements cache.Lister, by SCAN and the beginnings of the values. It is no operation that the breaker or the
// metrics count: it takes as long as it takes, and says nothing of Redis.
func (s *Store) List(ctx context.Context, opt cache.ListOptions, each func(cache.Listed) bool) error {
	scanner, ok := s.server.(Scanner)
	heads, reads := s.coder.(HeadReader)
	if !ok || !reads {
		return ErrNoList
	}
	err := scanner.Scan(ctx, s.keys.entries(), headSize, func(name string, value []byte) error {
		// The id is a hash of the key, so a value that is not what it seems to be does not get by.
		l, ok := listed(heads, value)
		if ok && opt.Selects(l.Key) && l.Key.ID() == s.keys.idOf(name) && !each(l) {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("list entries: %w: %w", cache.ErrUnavailable, err)
	}
	return nil
}

// listed reads the beginning of a value.
func listed(heads HeadReader, value []byte) (l cache.Listed, ok bool) {
	if _, _, err := parseLine(value); err != nil {
		return l, false
	}
	head, ok := heads.Head(value[lineSize:])
	if !ok {
		return l, false
	}
	r := reader{rest: head}
	if r.byte() != recordVersion {
		return l, false
	}
	l.Key.App = r.text()
	l.Key.Build = r.text()
	l.Key.Space = cache.Space(r.byte())
	l.Key.Name = r.text()
	l.Lifetime.Revalidate = duration(r.varint())
	l.Lifetime.Expire = duration(r.varint())
	if r.short {
		return l, false
	}
	for range r.length() {
		r.text()
	}
	if meta := r.text(); !r.short {
		l.Meta = []byte(meta)
	}
	return l, true
}
