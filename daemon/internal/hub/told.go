package hub

import (
	"context"
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// told is what a reader has applied, and until when it may serve what it holds without asking.
type told struct {
	position tag.Position
	promised time.Time
	behindAt time.Time // since when there is something that it has not applied; zero: there is nothing
}

// patience is for how long a reader may have something unapplied and still be promised more. One that takes longer holds
// up a revalidation once, and not every one that follows.
const patience = time.Second

// behind reports for how much longer the reader may serve what the events up to p have invalidated; 0: it does not.
func (t told) behind(p tag.Position, now time.Time) time.Duration {
	if !t.position.Before(p) {
		return 0
	}
	return max(t.promised.Sub(now), 0)
}

// readers are those of one app, and what was promised to those that have gone: they may live on without their stream.
type readers struct {
	open map[*Subscription]struct{}
	gone []told
	// published is the newest position that the readers were told of.
	published tag.Position
	changed   chan struct{} // closed and replaced when a reader has applied something or has gone
}

// readers gives those of an app. The caller holds the hub's mutex.
func (h *Hub) readers(app string) *readers {
	if h.apps == nil {
		h.apps = make(map[string]*readers)
	}
	r := h.apps[app]
	if r == nil {
		r = &readers{open: make(map[*Subscription]struct{}), changed: make(chan struct{})}
		h.apps[app] = r
	}
	return r
}

func (r *readers) hasChanged() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// leave keeps what was promised to a reader that goes, and forgets what is over.
func (r *readers) leave(t told, now time.Time) {
	kept := r.gone[:0]
	for _, g := range r.gone {
		if g.promised.After(now) {
			kept = append(kept, g)
		}
	}
	if t.promised.After(now) {
		kept = append(kept, t)
	}
	r.gone = kept
	r.hasChanged()
}

// behind is for how much longer some reader may serve what the events up to p have invalidated.
func (r *readers) behind(p tag.Position, now time.Time) time.Duration {
	var longest time.Duration
	for s := range r.open {
		longest = max(longest, s.told.behind(p, now))
	}
	for _, g := range r.gone {
		longest = max(longest, g.behind(p, now))
	}
	return longest
}

// Ack says that the reader has applied everything up to p; of what was not published yet, it cannot.
func (s *Subscription) Ack(p tag.Position) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	r := s.hub.readers(s.app)
	if r.published.Before(p) {
		p = r.published
	}
	if !s.told.position.Before(p) {
		return
	}
	s.told.position = p
	s.told.behindAt = time.Time{}
	if p.Before(r.published) {
		s.told.behindAt = time.Now()
	}
	r.hasChanged()
}

// Promise lets the reader serve what it holds until then, without asking. It must be told so after every event that was
// published before. False: it is promised nothing, because it does not acknowledge events.
func (s *Subscription) Promise(until time.Time) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if at := s.told.behindAt; !at.IsZero() && time.Since(at) > patience {
		return false
	}
	if until.After(s.told.promised) {
		s.told.promised = until
	}
	return true
}

// WaitTold returns once no reader of app serves what the events up to p have invalidated: each has acknowledged them, or
// what it was promised is over. The error wraps the context's cause.
func (h *Hub) WaitTold(ctx context.Context, app string, p tag.Position) error {
	for {
		h.mu.Lock()
		r := h.readers(app)
		left, changed := r.behind(p, time.Now()), r.changed
		h.mu.Unlock()
		if left == 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait until the clients of %q have applied %v: %w", app, p, context.Cause(ctx))
		}
		timer.Stop()
	}
}
