package simulation_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/redisstore"
)

// subscription is one connection on which messages arrive, in order: both what is asked and what comes. The fields up to
// mu belong to the schedule.
type subscription struct {
	link     *link
	number   int
	open     bool
	channels map[string]bool
	goes     pipe
	comes    pipe

	mu      sync.Mutex
	asked   int
	waiting []redisstore.Push
	broken  error
	ready   chan struct{}
}

func newSubscription(l *link, number int) *subscription {
	s := &subscription{link: l, number: number, ready: make(chan struct{}, 1)}
	p := pipe{s: l.w.schedule, delay: l.delay, hung: func() bool { return l.is == hung || l.w.net.hung }}
	s.goes, s.comes = p, p
	s.comes.delay = func() time.Duration { return l.lag + l.delay() }
	return s
}

// request is something that the daemon asks on a subscription.
type request struct {
	sub    *subscription
	number int
	do     func()
}

func (r *request) order() string {
	return fmt.Sprintf("s%s %d %04d", r.sub.link.name, r.sub.number, r.number)
}

func (r *request) take() {
	s, l := r.sub, r.sub.link
	switch {
	case s.isBroken():
	case l.dead, l.is == cut:
		s.fail(errRefuse)
	default:
		if !s.open {
			s.open = true
			l.subs = append(l.subs, s)
		}
		s.goes.put(r.do)
	}
}

func (s *subscription) ask(do func()) error {
	s.mu.Lock()
	s.asked++
	r, err := &request{sub: s, number: s.asked, do: do}, s.broken
	s.mu.Unlock()
	if err == nil {
		s.link.w.arrive(r)
	}
	return err
}

func (s *subscription) flush() {
	s.goes.flush()
	s.comes.flush()
}

// send tells the daemon something, after what it was told before.
func (s *subscription) send(p redisstore.Push) { s.comes.put(func() { s.deliver(p) }) }

func (s *subscription) deliver(p redisstore.Push) {
	s.mu.Lock()
	s.waiting = append(s.waiting, p)
	s.mu.Unlock()
	s.wake()
}

func (s *subscription) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// sever breaks the connection: what was on its way is lost.
func (s *subscription) sever() {
	s.goes.end()
	s.comes.end()
	s.fail(errBroke)
}

func (s *subscription) fail(err error) {
	s.mu.Lock()
	if s.broken == nil {
		s.broken = err
	}
	s.mu.Unlock()
	s.wake()
}

func (s *subscription) isBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken != nil
}

// Subscribe implements redisstore.Subscription.
func (s *subscription) Subscribe(_ context.Context, channels ...string) error {
	return s.ask(func() {
		if s.channels == nil {
			s.channels = make(map[string]bool)
		}
		for _, c := range channels {
			s.channels[c] = true
			s.send(redisstore.Subscribed{Channel: c})
		}
	})
}

// Ping implements redisstore.Subscription.
func (s *subscription) Ping(context.Context) error {
	return s.ask(func() { s.send(redisstore.Pong{}) })
}

// Receive implements redisstore.Subscription.
func (s *subscription) Receive(context.Context) (redisstore.Push, error) {
	for {
		s.mu.Lock()
		if len(s.waiting) > 0 {
			p := s.waiting[0]
			s.waiting = s.waiting[1:]
			s.mu.Unlock()
			return p, nil
		}
		err := s.broken
		s.mu.Unlock()
		if err != nil {
			s.wake() // whoever asks again is told again
			return nil, err
		}
		<-s.ready
	}
}

// Close implements redisstore.Subscription.
func (s *subscription) Close() error {
	s.fail(errRefuse)
	return nil
}
