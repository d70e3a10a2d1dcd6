package cache

import (
	"context"
	"sync"
	"time"
)

// write is one entry on its way to the store.
type write struct {
	entry   *Entry
	id      ID
	begun   uint64 // the token of the get that it began with; 0: there was none
	options WriteOptions
}

// writer brings acknowledged writes to the store, a few at a time. It is bounded in bytes: what does not fit is refused.
type writer struct {
	mu      sync.Mutex
	queue   []write
	bytes   int
	limit   int
	stopped bool
	ready   chan struct{}
}

// writers at a time are enough to keep a pipelined connection busy and few enough to leave the pool to the readers.
const writers = 4

func newWriter(limit int) *writer {
	return &writer{limit: limit, ready: make(chan struct{}, writers)}
}

func (w *writer) add(item write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := item.entry.Size()
	if w.stopped || w.bytes+size > w.limit {
		return false
	}
	w.queue = append(w.queue, item)
	w.bytes += size
	select {
	case w.ready <- struct{}{}:
	default: // as many signals are pending as there are workers: all of them will look
	}
	return true
}

func (w *writer) next() (write, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return write{}, false
	}
	item := w.queue[0]
	w.queue[0] = write{}
	w.queue = w.queue[1:]
	w.bytes -= item.entry.Size()
	return item, true
}

// run stores what is added until ctx ends, and then what is left, for at most drain.
func (w *writer) run(ctx context.Context, drain time.Duration, store func(context.Context, write)) {
	// A write that has begun is finished although ctx ended: it was acknowledged.
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drain, cancel) })()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				for item, ok := w.next(); ok && writing.Err() == nil; item, ok = w.next() {
					store(writing, item)
				}
				select {
				case <-w.ready:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	for item, ok := w.next(); ok && writing.Err() == nil; item, ok = w.next() {
		store(writing, item)
	}
}
