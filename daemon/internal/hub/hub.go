// Package hub hands the events of one daemon to its sessions.
//
// One publisher, many subscriptions. Publishing never waits for a reader: a subscription that is full loses its backlog
// and gets one reset in its place, so it learns that it missed something, and its stream lives on.
package hub

import (
	"sync"

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
	apps   map[string]map[*Subscription]struct{}
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
	if h.apps == nil {
		h.apps = make(map[string]map[*Subscription]struct{})
	}
	if h.apps[app] == nil {
		h.apps[app] = make(map[*Subscription]struct{})
	}
	h.apps[app][s] = struct{}{}
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
	for s := range h.apps[app] {
		s.add(m)
	}
}

// Close ends all subscriptions, so that their streams end.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, subs := range h.apps {
		for s := range subs {
			s.end()
		}
	}
	h.apps = nil
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

// Close removes the reader. It may be called again.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.apps[s.app], s)
	if len(s.hub.apps[s.app]) == 0 {
		delete(s.hub.apps, s.app)
	}
	s.end()
}
