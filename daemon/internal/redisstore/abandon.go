package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// abandoned are the leases that Redis may have granted without anybody hearing of it: the reply was lost. Nobody knows
// their tokens, so they are ended by their holder, which is another one at every read. Run ends them; until then, they
// wait here.
type abandoned struct {
	mu     sync.Mutex
	leases []orphan // by the time they were abandoned
	signal chan struct{}
}

// orphan is one such lease, if it was granted.
type orphan struct {
	key     cache.Key
	holder  string
	expires time.Time // it has ended by itself
	due     time.Time // not to be asked for before
	asked   bool
}

const (
	// maxOrphans bounds the queue; then the oldest is left to its TTL. Few come while Redis hangs, for nobody asks.
	maxOrphans = 1024
	// orphanPause is the time until an orphan is asked for again: after an error, and once after it was not there, for
	// the read may have been overtaken.
	orphanPause = 500 * time.Millisecond
)

// add takes note of a lease that lives for ttl, if it does.
func (a *abandoned) add(key cache.Key, holder string, ttl time.Duration) {
	now := time.Now()
	a.mu.Lock()
	a.push(orphan{key: key, holder: holder, expires: now.Add(ttl), due: now})
	a.mu.Unlock()
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

func (a *abandoned) push(o orphan) {
	if len(a.leases) >= maxOrphans {
		a.leases = a.leases[1:]
	}
	a.leases = append(a.leases, o)
}

// take returns the next one that is due, or, if there is none, the time until there may be one.
func (a *abandoned) take(now time.Time) (o orphan, ok bool, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := a.leases[:0]
	wait = time.Hour // add wakes up whoever waits
	for _, l := range a.leases {
		switch {
		case !now.Before(l.expires):
		case !ok && !now.Before(l.due):
			o, ok = l, true
		default:
			wait = min(wait, l.due.Sub(now))
			rest = append(rest, l)
		}
	}
	a.leases = rest
	return o, ok, wait
}

// endAbandoned ends such leases until ctx ends, one at a time.
func (s *Store) endAbandoned(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.abandoned.signal:
		case <-ctx.Done():
			return
		}
		o, ok, wait := s.abandoned.take(time.Now())
		if ok {
			s.endOrphan(ctx, o)
			wait = 0
		}
		timer.Reset(wait)
	}
}

// endOrphan asks for one, and puts it back if it is to be asked for again.
func (s *Store) endOrphan(ctx context.Context, o orphan) {
	id := o.key.ID()
	reply, err := s.run(ctx, abandonScript, s.config.small(), []string{s.keys.lease(id)},
		o.holder, s.keys.channel(o.key.App), string(id))
	f := fields{list: reply}
	switch {
	case err == nil && (f.number() == 1 || o.asked):
		return
	case err != nil:
		s.log.Debug("end a lease whose reply was lost", slog.String("app", o.key.App), slog.String("key", o.key.Name), slog.Any("error", err))
	default:
		o.asked = true
	}
	o.due = time.Now().Add(orphanPause)
	s.abandoned.mu.Lock()
	s.abandoned.push(o)
	s.abandoned.mu.Unlock()
}

// lost reports whether Redis may have carried out, or may yet carry out, what ended with this error.
func lost(err error) bool {
	return err != nil && !errors.Is(err, errOpen) && !errors.Is(err, ErrUnsent) && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrAnswer)
}
