package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/redisstore"
)

// condition is how it stands with a connection.
type condition uint8

const (
	sound condition = iota
	hung            // it stands, and nothing gets through until it is sound again
	cut             // it is broken, and no other can be opened
)

var (
	errBroke  = errors.New("the connection broke")
	errRefuse = fmt.Errorf("%w: connection refused", redisstore.ErrUnsent)
)

// link is one daemon's network to Redis: a pool of connections, whose commands may overtake each other, and
// subscriptions, on which order is kept. It is what the store takes for Redis.
type link struct {
	w    *world
	name string
	mu   sync.Mutex
	is   condition
	// since is when is changed.
	since time.Duration
	slow  time.Duration // what a command takes at most, one way
	lag   time.Duration // what messages take longer
	dead  bool          // the daemon is no more: nothing of it gets out
	calls []*call       // those under way
	subs  []*subscription
	count int
}

var _ redisstore.Server = (*link)(nil)

// call is one command on its way.
type call struct {
	link   *link
	script redisstore.Script
	keys   []string
	args   []string
	run    func() ([]any, error) // what Redis does
	done   chan outcome
	ran    bool // Redis has carried it out
	over   bool
	held   []func() // what waits for the link to be sound
}

type outcome struct {
	reply []any
	err   error
}

func (c *call) order() string {
	return "c" + c.link.name + " " + c.script.Name + strings.Join(c.keys, " ") + strings.Join(c.shown(), " ")
}

// shown are the arguments but for what depends on which of two goroutines was the first: the number of a holder, and the
// order of tags.
func (c *call) shown() []string {
	list := slices.Clone(c.args)
	from := len(list)
	switch c.script.Name {
	case "append", "restore":
		from = 6
		if c.script.Name == "append" {
			list[2], list[5] = "", "" // its nonce, and the marks once more
		}
	case "read", "claim", "abandon":
		for i, a := range list {
			if holder, _, ok := strings.Cut(a, "#"); ok {
				list[i] = holder
			}
		}
	}
	for i := from; i+1 < len(list); i += 2 {
		list[i], list[i+1] = list[i]+" "+list[i+1], ""
	}
	slices.Sort(list[from:])
	return list
}

// take sends the command.
func (c *call) take() {
	l := c.link
	switch {
	case l.dead:
		c.end(outcome{err: errRefuse})
	case l.is == cut:
		l.w.after(l.delay(), func() { c.end(outcome{err: errRefuse}) })
	default:
		l.calls = append(l.calls, c)
		l.w.after(l.delay(), func() { c.pass(c.execute) })
	}
}

// pass lets something through when the link is sound.
func (c *call) pass(do func()) {
	if c.over {
		return
	}
	if c.link.is == hung || c.link.w.net.hung {
		c.held = append(c.held, do)
		return
	}
	do()
}

// execute is the command's arrival at Redis. It is carried out although nobody may wait for it any more.
func (c *call) execute() {
	c.ran = true
	reply, err := c.run()
	c.link.w.after(c.link.delay(), func() { c.pass(func() { c.end(outcome{reply: reply, err: err}) }) })
}

func (c *call) end(r outcome) {
	if c.over {
		return
	}
	c.over = true
	c.done <- r
	for i, other := range c.link.calls {
		if other == c {
			c.link.calls = append(c.link.calls[:i], c.link.calls[i+1:]...)
			break
		}
	}
}

// delay is how long one way takes.
func (l *link) delay() time.Duration {
	d := l.w.between(100*time.Microsecond, time.Millisecond)
	if l.w.chance(0.03) {
		d += l.w.between(0, l.slow)
	}
	return d
}

// change sets how it stands with the link.
func (l *link) change(to condition) {
	if l.is == to || l.dead {
		return
	}
	l.w.note("link", l.name, int(to))
	l.mu.Lock()
	l.is, l.since = to, l.w.now()
	l.mu.Unlock()
	switch to {
	case cut:
		l.sever()
	case sound:
		l.flush()
	case hung:
	}
}

// sever breaks what is under way: a command may have been carried out or not, and nobody will know.
func (l *link) sever() {
	for _, c := range append([]*call(nil), l.calls...) {
		if !c.ran && l.w.chance(0.5) {
			_, _ = c.run() // it was on the wire
		}
		c.end(outcome{err: errBroke})
	}
	for _, s := range l.subs {
		s.sever()
	}
	l.subs = nil
}

// flush lets through what waited.
func (l *link) flush() {
	for _, c := range append([]*call(nil), l.calls...) {
		held := c.held
		c.held = nil
		for _, do := range held {
			l.w.after(l.delay(), func() { c.pass(do) })
		}
	}
	for _, s := range l.subs {
		s.flush()
	}
}

// kill ends the daemon as far as Redis can tell.
func (l *link) kill() {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	l.sever()
}

func (l *link) ask(ctx context.Context, c *call) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", redisstore.ErrUnsent, err)
	}
	c.link, c.done = l, make(chan outcome, 1)
	l.w.arrive(c)
	select {
	case r := <-c.done:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Eval implements redisstore.Server.
func (l *link) Eval(ctx context.Context, script redisstore.Script, keys []string, args ...any) ([]any, error) {
	c := &call{script: script, keys: keys, args: texts(args)}
	c.run = func() ([]any, error) { return l.w.eval(l, c) }
	return l.ask(ctx, c)
}

// Get implements redisstore.Server. No value of the simulation is so large that it is fetched.
func (l *link) Get(context.Context, string) ([]byte, error) { return nil, errors.ErrUnsupported }

// Ping implements redisstore.Server.
func (l *link) Ping(ctx context.Context) error {
	_, err := l.ask(ctx, &call{script: redisstore.Script{Name: "ping"}, run: func() ([]any, error) { return nil, nil }})
	return err
}

// Close implements redisstore.Server.
func (l *link) Close() error { return nil }

// Subscribe implements redisstore.Server.
func (l *link) Subscribe(context.Context) redisstore.Subscription {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	return newSubscription(l, l.count)
}
