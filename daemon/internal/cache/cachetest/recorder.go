package cachetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// Written is a call of cache.Follower.Written.
type Written struct {
	ID      cache.ID
	Version cache.Version
}

// Heard is what a Recorder was told so far, in order by kind.
type Heard struct {
	Events   []tag.Event
	Loads    []tag.Snapshot
	Reasons  []string // of the loads
	Written  []Written
	Released []cache.ID
	// Snapshot is what follows from loads and events.
	Snapshot tag.Snapshot
}

// Recorder is a cache.Follower that keeps what it is told. It fails the test if an event does not follow, or if calls
// overlap.
type Recorder struct {
	t        testing.TB
	calling  sync.Mutex
	mu       sync.Mutex
	heard    Heard
	manifest tag.Manifest
	changed  chan struct{} // closed and replaced at every call
}

var _ cache.Follower = (*Recorder)(nil)

// NewRecorder returns a Recorder that has heard nothing.
func NewRecorder(t testing.TB) *Recorder {
	return &Recorder{t: t, changed: make(chan struct{})}
}

// Event implements cache.Follower.
func (r *Recorder) Event(e tag.Event) {
	r.record(func() {
		if len(r.heard.Loads) == 0 {
			r.t.Errorf("event %v before the first load", e.Position)
		}
		if outcome := r.manifest.Apply(e); outcome != tag.Applied {
			r.t.Errorf("event %v does not follow %v: outcome %d", e.Position, r.manifest.Position(), outcome)
		}
		r.heard.Events = append(r.heard.Events, e)
	})
}

// Load implements cache.Follower.
func (r *Recorder) Load(s tag.Snapshot, reason string) {
	r.record(func() {
		if reason == "" {
			r.t.Error("a load without a reason")
		}
		r.manifest.Load(s)
		r.heard.Loads = append(r.heard.Loads, s)
		r.heard.Reasons = append(r.heard.Reasons, reason)
	})
}

// Snapshot implements cache.Follower.
func (r *Recorder) Snapshot() tag.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.manifest.Snapshot()
}

// Written implements cache.Follower.
func (r *Recorder) Written(id cache.ID, v cache.Version) {
	r.record(func() { r.heard.Written = append(r.heard.Written, Written{id, v}) })
}

// Released implements cache.Follower.
func (r *Recorder) Released(id cache.ID) {
	r.record(func() { r.heard.Released = append(r.heard.Released, id) })
}

func (r *Recorder) record(f func()) {
	if !r.calling.TryLock() {
		r.t.Error("two calls at the same time")
		r.calling.Lock()
	}
	defer r.calling.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// Heard is what was heard so far. Its slices are the Recorder's: they only grow.
func (r *Recorder) Heard() Heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now()
}

func (r *Recorder) now() Heard {
	h := r.heard
	h.Snapshot = r.manifest.Snapshot()
	return h
}

// Await returns what was heard as soon as it is enough, and ends the test if it never is.
func (r *Recorder) Await(t testing.TB, what string, enough func(Heard) bool) Heard {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		r.mu.Lock()
		h, changed := r.now(), r.changed
		r.mu.Unlock()
		if enough(h) {
			return h
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("not heard within %v: %s; heard %d events, %d loads %q, %d written, %d released, position %v", patience, what,
				len(h.Events), len(h.Loads), h.Reasons, len(h.Written), len(h.Released), h.Snapshot.Position)
		}
	}
}

// AwaitPosition waits until the log was followed up to p.
func (r *Recorder) AwaitPosition(t testing.TB, p tag.Position) Heard {
	t.Helper()
	return r.Await(t, "position "+p.String(), func(h Heard) bool { return !h.Snapshot.Position.Before(p) })
}

// Patience bounds every wait of the contract, and those of tests beside it.
const Patience time.Duration = patience
