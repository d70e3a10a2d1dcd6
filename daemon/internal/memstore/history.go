package memstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// maxTags bounds the tags whose marks are known; content from before the older half of them is regenerated.
const maxTags = 100_000

// history is the log of one app. Only its sum is kept: nobody can be behind.
type history struct {
	mu       sync.Mutex // held while the follower is told, so that it hears things one at a time and in order
	manifest tag.Manifest
	follower cache.Follower
}

func (s *Store) history(app string) *history {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.logs[app]
	if h == nil {
		h = new(history)
		epoch := uint64(s.now()) * 1000
		h.manifest.Load(tag.Snapshot{Position: tag.Position{Epoch: epoch, Seq: epoch}})
		s.logs[app] = h
	}
	return h
}

// Follow implements cache.Log.
func (s *Store) Follow(ctx context.Context, app string, f cache.Follower) error {
	if err := unavailable(ctx, "follow"); err != nil {
		return err
	}
	h := s.history(app)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.follower != nil {
		return fmt.Errorf("follow %q: it is followed already", app)
	}
	h.follower = f
	f.Load(h.manifest.Snapshot(), "following begins")
	return nil
}

// Append implements cache.Log. When it returns, the follower has the event.
func (s *Store) Append(ctx context.Context, app string, revalidations []tag.Revalidation) (tag.Position, error) {
	if err := unavailable(ctx, "append"); err != nil {
		return tag.Position{}, err
	}
	h := s.history(app)
	h.mu.Lock()
	defer h.mu.Unlock()
	e := tag.Event{Position: h.manifest.Position(), At: s.now(), Marks: make([]tag.Mark, len(revalidations))}
	e.Position.Seq++
	e.Position.Nonce = rand.Text()
	for i, r := range revalidations {
		e.Marks[i] = r.MarkAt(e.At)
	}
	h.manifest.Apply(e)
	h.manifest.Prune(maxTags)
	if h.follower != nil {
		h.follower.Event(e)
	}
	return e.Position, nil
}

// Prove implements cache.Log. There is nobody else who could append: what is known is true until this store ends.
func (s *Store) Prove(ctx context.Context, _ string, _ tag.Position) (time.Time, error) {
	if err := unavailable(ctx, "prove"); err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(cache.Bound), nil
}

// Acknowledge implements cache.Log. Nobody waits for it.
func (s *Store) Acknowledge(ctx context.Context, _ string, _ tag.Position) error {
	return unavailable(ctx, "acknowledge")
}

// Await implements cache.Log. There are no other members.
func (s *Store) Await(ctx context.Context, _ string, _ tag.Position) error {
	return unavailable(ctx, "await")
}

// tell calls the follower of an app, if there is one.
func (s *Store) tell(app string, f func(cache.Follower)) {
	h := s.history(app)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.follower != nil {
		f(h.follower)
	}
}
