package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder makes parts that write down when they start and stop.
type recorder struct {
	mu  sync.Mutex
	log []string
}

func (r *recorder) note(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, s)
}

func (r *recorder) part(name string, started chan<- string) part {
	return part{name, func(ctx context.Context) error {
		started <- name
		<-ctx.Done()
		r.note(name)
		return nil
	}}
}

func TestPartsStopInReverseOrder(t *testing.T) {
	var r recorder
	started := make(chan string, 3)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- runParts(ctx, r.part("store", started), r.part("cache", started), r.part("server", started))
	}()
	for range 3 {
		<-started
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if want := []string{"server", "cache", "store"}; !slices.Equal(r.log, want) {
		t.Errorf("stopped in the order %v, want %v", r.log, want)
	}
}

func TestFirstFailureStopsAll(t *testing.T) {
	var r recorder
	started := make(chan string, 1)
	broken := errors.New("no such socket")
	err := runParts(t.Context(), r.part("store", started), part{"server", func(context.Context) error { <-started; return broken }})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "server") {
		t.Errorf("got %v, want an error that wraps %v and names the part", err, broken)
	}
	if !slices.Equal(r.log, []string{"store"}) {
		t.Errorf("the other part did not stop: %v", r.log)
	}
}

func TestPartThatEndsByItselfIsAFailure(t *testing.T) {
	err := runParts(t.Context(), part{"worker", func(context.Context) error { return nil }})
	if err == nil || !strings.Contains(err.Error(), "worker ended by itself") {
		t.Errorf("got %v", err)
	}
}
