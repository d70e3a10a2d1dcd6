package redisstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/redisstore"
)

// hanging is a Redis that takes connections and answers nothing. Like go-redis, its subscription does one thing at a time,
// and opens its connection when it is first used.
type hanging struct {
	used chan struct{} // closed once somebody opens the connection
	once sync.Once
	turn chan struct{}
}

func newHanging() *hanging {
	return &hanging{used: make(chan struct{}), turn: make(chan struct{}, 1)}
}

func (h *hanging) wait(ctx context.Context) error {
	h.turn <- struct{}{} // whatever the context says
	defer func() { <-h.turn }()
	h.once.Do(func() { close(h.used) })
	<-ctx.Done()
	return ctx.Err()
}

func (h *hanging) Eval(ctx context.Context, _ redisstore.Script, _ []string, _ ...any) ([]any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (h *hanging) Get(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (h *hanging) Ping(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h *hanging) Subscribe(context.Context) redisstore.Subscription { return &silent{h} }

func (h *hanging) Close() error { return nil }

// silent is its subscription.
type silent struct{ *hanging }

func (s *silent) Subscribe(ctx context.Context, _ ...string) error { return s.wait(ctx) }
func (s *silent) Ping(ctx context.Context) error                   { return s.wait(ctx) }
func (s *silent) Close() error                                     { return nil }
func (s *silent) Receive(ctx context.Context) (redisstore.Push, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// The connection of events takes its time to open. Nobody waits for it but its own goroutine.
func TestFollowDoesNotWaitForAConnectionThatOpens(t *testing.T) {
	server := newHanging()
	d := start(t, redisstore.Config{Server: server, OpTimeout: opTimeout, DialTimeout: 3 * time.Second})
	<-server.used
	begun := time.Now()
	if err := d.Follow(t.Context(), "shop", sharedFollower); !errors.Is(err, cache.ErrUnavailable) {
		t.Errorf("follow: %v", err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("follow took %v, its bound is %v", took, opTimeout)
	}
}
