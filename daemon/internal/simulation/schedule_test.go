package simulation_test

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// schedule decides what happens next. All but arrive belongs to the one goroutine that calls run.
type schedule struct {
	rng    *rand.Rand
	begun  time.Time
	events events
	serial uint64
	steps  int

	mu     sync.Mutex
	inbox  []arrival // what the daemons' goroutines want of the models
	signal chan struct{}
}

// arrival is something that a daemon asks of a model. Those of one step have no order of their own: they are taken by
// what order says.
type arrival interface {
	order() string
	take()
}

// happening is something that a model does at an instant of its own.
type happening struct {
	at     time.Duration
	serial uint64
	do     func()
}

type events []happening

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at != e[j].at {
		return e[i].at < e[j].at
	}
	return e[i].serial < e[j].serial
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(happening)) } //nolint:errcheck,forcetypeassert // heap pushes what it was given
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = happening{}
	*e = old[:len(old)-1]
	return last
}

func newSchedule(seed uint64) *schedule {
	return &schedule{rng: rand.New(rand.NewPCG(seed, 0x15bd)), begun: time.Now(), signal: make(chan struct{}, 1)}
}

// now is the time since the seed began.
func (s *schedule) now() time.Duration { return time.Since(s.begun) }

// at has something happen at that time or, if it is over, next. The nanoseconds of an instant are nobody else's, so that
// no timer that one event starts fires together with that of another.
func (s *schedule) at(t time.Duration, do func()) time.Duration {
	s.serial++
	t = max(t, s.now()).Truncate(10*time.Microsecond) + 10*time.Microsecond + time.Duration(s.serial%9973)
	heap.Push(&s.events, happening{at: t, serial: s.serial, do: do})
	return t
}

// after has something happen when a while has passed.
func (s *schedule) after(d time.Duration, do func()) time.Duration { return s.at(s.now()+d, do) }

// arrive is called by the daemons' goroutines.
func (s *schedule) arrive(a arrival) {
	s.mu.Lock()
	s.inbox = append(s.inbox, a)
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// run lets happen what is due until a time, and whatever that sets off. look is called after every step; false: enough.
// What a step sets off in the daemons is over when the time goes on, or when one of them has asked for something and all
// the others are done too.
func (s *schedule) run(until time.Duration, look func() bool) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := until
		if len(s.events) > 0 {
			next = min(next, s.events[0].at)
		}
		if left := next - s.now(); left > 0 {
			timer.Reset(left)
			select {
			case <-timer.C:
			case <-s.signal:
			}
			synctest.Wait()
			if s.takeIn() && !look() {
				return
			}
			continue
		}
		if len(s.events) == 0 || s.events[0].at > until {
			return
		}
		s.steps++
		heap.Pop(&s.events).(happening).do() //nolint:errcheck,forcetypeassert // nothing else is in it
		if !look() {
			return
		}
	}
}

// takeIn hands over what has arrived.
func (s *schedule) takeIn() bool {
	s.mu.Lock()
	all := s.inbox
	s.inbox = nil
	s.mu.Unlock()
	if len(all) > 1 {
		slices.SortStableFunc(all, func(a, b arrival) int { return strings.Compare(a.order(), b.order()) })
	}
	for _, a := range all {
		a.take()
	}
	return len(all) > 0
}

func (s *schedule) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// between draws a duration.
func (s *schedule) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rng.Int64N(int64(most-least)+1))
}

// pick draws one of a list.
func pick[T any](s *schedule, list []T) T { return list[s.rng.IntN(len(list))] }
