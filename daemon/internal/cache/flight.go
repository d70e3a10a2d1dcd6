package cache

import (
	"context"
	"sync"
	"time"
)

// flight brings the callers of one key together: one of them asks the store at a time, the others profit.
type flight struct {
	callers int           // guarded by flights.mu
	wake    chan struct{} // guarded by flights.mu; closed and replaced at every wake-up

	turn  chan struct{} // a token: whoever holds it may ask the store
	known known         // guarded by turn
}

// known is what the last caller learned about another holder's lease. It saves the next ones the question, until the
// key is woken or the time is over.
type known struct {
	until time.Time
	woken <-chan struct{} // as it was when this was learned

	reading Reading // without an entry
}

func newKnown(r Reading, woken <-chan struct{}) known {
	r.Entry = nil
	return known{until: time.Now().Add(min(r.Left, recheck)), woken: woken, reading: r}
}

// heldAt reports for how much longer the lease is known to be held, if nobody was woken since.
func (k known) heldAt(now time.Time, woken <-chan struct{}) (time.Duration, bool) {
	left := k.until.Sub(now)
	return left, left > 0 && k.woken == woken
}

// flights are the keys that somebody is asking the store about, or is parked at. The zero value is ready.
type flights struct {
	mu   sync.Mutex
	keys map[ID]*flight
}

// join adds a caller to the key's flight; it must leave.
func (s *flights) join(id ID) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = make(map[ID]*flight)
	}
	f := s.keys[id]
	if f == nil {
		f = &flight{wake: make(chan struct{}), turn: make(chan struct{}, 1)}
		s.keys[id] = f
	}
	f.callers++
	return f
}

func (s *flights) leave(id ID, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.callers--; f.callers == 0 {
		delete(s.keys, id)
	}
}

// wake lets the parked callers of a key look again.
func (s *flights) wake(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.keys[id]; f != nil {
		close(f.wake)
		f.wake = make(chan struct{})
	}
}

// woken is closed at the next wake-up. Take it before looking, or a wake-up between the look and the wait is lost.
func (s *flights) woken(f *flight) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.wake
}

// take waits for the turn to ask the store.
func (f *flight) take(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *flight) give() { <-f.turn }
