package redisstore

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// work is which followers may have missed something. The bus's mutex guards it.
type work struct {
	queue  []*follow // who waits for a turn
	of     map[*follow]*catchingUp
	signal chan struct{} // the queue is not empty
	order  []*follow     // all, as they came; check takes them in turn
	next   int           // in order
}

// catchingUp is one app's work.
type catchingUp struct {
	busy  bool          // it is in the queue, at work, or waits after a failure
	begun bool          // it is not in the queue any more
	again bool          // there was a new reason since it began
	delay time.Duration // after a failure
}

func (w *work) init() {
	w.of = make(map[*follow]*catchingUp)
	w.signal = make(chan struct{}, 1)
}

func (w *work) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// push adds to the queue who is not in it.
func (w *work) push(f *follow) {
	c := w.of[f]
	if c == nil {
		c = new(catchingUp)
		w.of[f] = c
	}
	if c.busy {
		c.again = c.again || c.begun
		return
	}
	c.busy = true
	w.queue = append(w.queue, f)
	w.wake()
}

// pop gives the next one a turn; nil: nobody waits.
func (w *work) pop() *follow {
	if len(w.queue) == 0 {
		return nil
	}
	f := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	w.of[f].begun = true
	return f
}

// checkedNow says that an app's position is being compared with its log's.
func (b *bus) checkedNow(f *follow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.checked = time.Now()
}

// behind says that an app may have missed something.
func (b *bus) behind(f *follow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.work.push(f)
}

// Every app's position is compared with its log's once in checkInterval, but of all apps not more than checksPerTick in a
// tick: anybody can make up names of apps, and what is followed must cost Redis no more than this.
const (
	checkInterval = time.Second
	checkTicks    = 20 // in an interval, at most
	checksPerTick = 25
)

// check has the apps, in turn, compare their positions with their logs', until ctx ends.
func (b *bus) check(ctx context.Context) {
	ticker := time.NewTicker(checkInterval / checkTicks)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if b.store.breaker.allow() == nil {
			b.checkSome(time.Now())
		}
	}
}

func (b *bus) checkSome(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &b.work
	for range min((len(w.order)+checkTicks-1)/checkTicks, checksPerTick) {
		f := w.order[w.next%len(w.order)]
		w.next = (w.next + 1) % len(w.order)
		if now.Sub(f.checked) < checkInterval {
			continue
		}
		f.checked = now
		// What is not loaded yet will be when its subscription is confirmed, not before.
		select {
		case <-f.ready:
			w.push(f)
		default:
		}
	}
}

// catchUpWidth is how many apps catch up at a time.
const catchUpWidth = 8

// catchUp does the work until ctx ends.
func (b *bus) catchUp(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	turns := make(chan struct{}, catchUpWidth)
	for {
		select {
		case <-b.work.signal:
		case <-ctx.Done():
			return
		}
		for {
			select {
			case turns <- struct{}{}:
			case <-ctx.Done():
				return
			}
			b.mu.Lock()
			f := b.work.pop()
			b.mu.Unlock()
			if f == nil {
				<-turns
				break
			}
			wg.Go(func() { b.catchUpOne(ctx, f, func() { <-turns }) })
		}
	}
}

// Bounds of the delay between attempts to catch up.
const (
	minDelay = 20 * time.Millisecond
	maxDelay = 500 * time.Millisecond
)

// catchUpOne takes a turn and ends it. After a failure it waits, without one, and has another.
func (b *bus) catchUpOne(ctx context.Context, f *follow, end func()) {
	err := b.store.catchUp(ctx, f)
	end()
	b.mu.Lock()
	c := b.work.of[f]
	c.delay = nextDelay(c.delay, err)
	delay := c.delay
	b.mu.Unlock()
	if err != nil {
		b.store.log.Debug("catch up with a log", slog.String("app", f.app), slog.Any("error", err))
		b.pause(ctx, delay)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	again := c.again || err != nil
	c.busy, c.begun, c.again = false, false, false
	if again {
		b.work.push(f)
	}
}

func nextDelay(delay time.Duration, err error) time.Duration {
	if err == nil {
		return 0
	}
	return min(max(2*delay, minDelay), maxDelay)
}
