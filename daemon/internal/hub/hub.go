// Package hub hands the events of one daemon to its sessions, and knows which of them have applied them.
//
// One publisher, many subscriptions. Publishing never waits for a reader: a subscription that is full loses its backlog
// and gets one reset in its place, so it learns that it missed something, and its stream lives on.
//
// A reader may hold copies that it serves by itself for as long as it was promised that they are good. Whoever must know
// that nobody serves what an event has invalidated waits until every reader has acknowledged it, or its promise is over.
package hub

import (
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// Message is an event, or a reset if Reset is not empty.
type Message struct {
	// Event is what happened; with a reset only its Position counts: events go on after it.
	Event tag.Event
	// Reset says why the reader must forget what it knows.
	Reset string
}

// Hub is safe for concurrent use. The zero value is ready.
type Hub struct {
	mu     sync.Mutex
	apps   map[string]*readers
	closed bool
}

// Subscription is one reader of one app's events.
type Subscription struct {
	hub *Hub
	app string

	mu      sync.Mutex
	pending []Message
	limit   int
	ready   chan struct{}
	closed  bool

	told told // guarded by hub.mu
}

// Subscribe adds a reader of app's events that may fall behind by limit messages. It must be closed. A subscription to
// a closed hub is closed from the start.
func (h *Hub) Subscribe(app string, limit int) *Subscription {
	s := &Subscription{hub: h, app: app, limit: max(limit, 1), ready: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		s.end()
		return s
	}
	h.readers(app).open[s] = struct{}{}
	return s
}

// Publish hands an event to app's readers.
func (h *Hub) Publish(app string, e tag.Event) { h.send(app, Message{Event: e}) }

// Reset tells app's readers to forget what they know; events go on after position.
func (h *Hub) Reset(app string, position tag.Position, reason string) {
	h.send(app, Message{Event: tag.Event{Position: position}, Reset: reason})
}

func (h *Hub) send(app string, m Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, now := h.readers(app), time.Now()
	r.published = m.Event.Position
	for s := range r.open {
		if s.told.behindAt.IsZero() {
			s.told.behindAt = now
		}
		s.add(m)
	}
}

// Close ends all subscriptions, so that their streams end.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, r := range h.apps {
		for s := range r.open {
			s.end()
		}
	}
}

func (s *Subscription) add(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return
	case m.Reset != "":
		s.pending = append(s.pending[:0], m)
	case len(s.pending) < s.limit:
		s.pending = append(s.pending, m)
	default:
		s.pending = append(s.pending[:0], Message{Event: tag.Event{Position: m.Event.Position}, Reset: "reader too slow"})
	}
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *Subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.signal()
}

// Ready gets a value when Take has something to return, or the subscription has ended. One reader only.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Take returns what is pending, in order, and whether the subscription is still open.
func (s *Subscription) Take() ([]Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.pending
	s.pending = nil
	return taken, !s.closed
}

// Close removes the reader; what it was promised stays promised. It may be called again.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.end()
	r := s.hub.readers(s.app)
	if _, open := r.open[s]; !open {
		return
	}
	delete(r.open, s)
	r.leave(s.told, time.Now())
}
