package redisstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// members are the daemons that vouch for what they hold, as a script has said it at one moment, in the clock of this
// process.
type members struct {
	of map[string]member
	// quiet is until when there may be others, who vouch since an epoch before.
	quiet time.Time
	// silent says that there are, or were, some who are waited for without a word from them.
	silent bool
}

// member is another daemon.
type member struct {
	until time.Time // it vouches for what it holds
	told  uint64    // seq of the events that its clients were told of
}

// members reads '<name> <until, ms> <seq>' lines, then the quiet time in milliseconds, then the time that Redis had. It is
// counted from when the reply was received, which is later: so nobody runs out too early.
func (f *fields) members(received time.Time) members {
	text, quiet := f.text(), f.number()
	now := int64(f.number()*1000 + f.number()/1000) //nolint:gosec // a time in milliseconds
	m := members{of: make(map[string]member), silent: quiet > 0}
	m.quiet = received.Add(time.Duration(min(quiet, math.MaxInt32)) * time.Millisecond) //nolint:gosec // bounded on this line
	for line := range strings.Lines(text) {
		var (
			name  string
			until int64
			told  uint64
		)
		if _, err := fmt.Sscanf(line, "%s %d %d", &name, &until, &told); err != nil {
			continue // a later version's, who waits for itself
		}
		left := min(max(time.Duration(until-now)*time.Millisecond, 0), cache.Bound)
		m.of[name] = member{until: received.Add(left), told: told}
	}
	return m
}

// left is how long the members, but for the one with that name, may still serve what the events up to seq have invalidated,
// and whether that is all there is to say: that their time is over, or that they were told of something beyond known, up to
// which this daemon knows the epoch of the event. The numbers of an epoch that began without it are larger, too.
func (m members) left(me string, seq, known uint64, now time.Time) (longest time.Duration, silent bool) {
	longest, silent = m.quiet.Sub(now), m.silent
	for name, one := range m.of {
		switch {
		case name == me:
		case one.told < seq:
			longest, silent = max(longest, one.until.Sub(now)), true
		case one.told > known:
			silent = true
		}
	}
	return longest, silent
}

// hear notes that a member has acknowledged something.
func (m members) hear(a acknowledged) {
	if one, ok := m.of[a.name]; ok && one.told < a.seq {
		one.told = a.seq
		m.of[a.name] = one
	}
}

// merge takes over what a later look says: who is not there any more has run out.
func (m members) merge(later members) members {
	m.silent = m.silent || later.silent
	for name, one := range m.of {
		now, there := later.of[name]
		switch {
		case !there:
			delete(m.of, name)
			m.silent = true
		case one.told < now.told:
			m.of[name] = now
		}
	}
	if later.quiet.After(m.quiet) {
		m.quiet = later.quiet
	}
	return m
}

// acknowledged is what ack.lua tells.
type acknowledged struct {
	name string
	seq  uint64
}

// parseAcknowledged reads '<name> <seq>'.
func parseAcknowledged(text string) (acknowledged, error) {
	name, seq, _ := strings.Cut(text, " ")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return acknowledged{}, fmt.Errorf("%w: acknowledged: %w", errEvent, err)
	}
	return acknowledged{name: name, seq: n}, nil
}

const (
	// maxAwaits bounds the appends whose members are kept for an Await to come; for older ones it asks.
	maxAwaits = 1024
	// maxTold bounds the members whose last word is kept; without it, Await looks for itself.
	maxTold = 1024
	// awaitCheck is how often an Await looks for itself: what members say can be lost.
	awaitCheck = 100 * time.Millisecond
)

// awaits are the members at the time of appends that are waited for.
type awaits struct {
	mu      *sync.Mutex
	of      map[uint64]members // by seq
	order   []uint64
	told    map[string]uint64 // what members said last
	changed chan struct{}     // closed and replaced when somebody has said something
}

func newAwaits() awaits {
	return awaits{mu: new(sync.Mutex), of: make(map[uint64]members), told: make(map[string]uint64), changed: make(chan struct{})}
}

func (a *awaits) add(p tag.Position, m members) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range m.of { // they may be faster than the append's own reply
		m.hear(acknowledged{name, a.told[name]})
	}
	a.of[p.Seq] = m
	a.order = append(a.order, p.Seq)
	if len(a.order) > maxAwaits {
		delete(a.of, a.order[0])
		a.order = a.order[1:]
	}
}

func (a *awaits) heard(one acknowledged) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.of {
		m.hear(one)
	}
	if len(a.told) >= maxTold {
		clear(a.told)
	}
	a.told[one.name] = max(a.told[one.name], one.seq)
	close(a.changed)
	a.changed = make(chan struct{})
}

// left is members.left for an append; not ok: nothing is known of it.
func (a *awaits) left(me string, seq, known uint64) (left time.Duration, silent bool, changed <-chan struct{}, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, ok := a.of[seq]
	left, silent = m.left(me, seq, known, time.Now())
	return left, silent, a.changed, ok
}

func (a *awaits) merge(seq uint64, later members) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m, ok := a.of[seq]; ok {
		a.of[seq] = m.merge(later)
		return
	}
	a.of[seq] = later
	a.order = append(a.order, seq)
}

func (a *awaits) done(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, seq)
	if i := slices.Index(a.order, seq); i >= 0 {
		a.order = append(a.order[:i], a.order[i+1:]...)
	}
}

// maxAwait bounds the waiting. A member that lives for longer and tells nobody is broken.
const maxAwait = 5 * cache.Bound

// Await implements cache.Log. It costs no command if every member acknowledges at once. The error says that somebody may
// not know the event, or that it is lost: append it again.
func (s *Store) Await(ctx context.Context, app string, p tag.Position) error {
	f := s.bus.find(app)
	if f == nil {
		return fmt.Errorf("await %v of %q: %w: the log is not followed", p, app, cache.ErrUnavailable)
	}
	defer f.awaits.done(p.Seq)
	ctx, cancel := context.WithTimeout(ctx, maxAwait)
	defer cancel()
	silent, err := s.await(ctx, f, p)
	if err == nil && silent {
		err = s.confirm(ctx, f, p)
	}
	if err != nil {
		return fmt.Errorf("await %v of %q: %w", p, app, err)
	}
	return nil
}

// await returns when no other member may serve what the event has invalidated. silent: not all of them have said for sure
// that they know it.
func (s *Store) await(ctx context.Context, f *follow, p tag.Position) (silent bool, err error) {
	for {
		if ctx.Err() != nil {
			return false, fmt.Errorf("%w: %w", cache.ErrUnavailable, context.Cause(ctx))
		}
		left, silent, changed, ok := f.awaits.left(s.name, p.Seq, f.lastOf(p))
		if ok && left <= 0 {
			return silent, nil
		}
		if ok {
			timer := time.NewTimer(min(left, awaitCheck))
			select {
			case <-changed:
				timer.Stop()
				continue
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				continue
			}
			if left <= awaitCheck {
				continue // it was their last
			}
		}
		now, err := s.members(ctx, f.app)
		if err != nil && !ok {
			return false, err
		}
		if err == nil {
			f.awaits.merge(p.Seq, now)
		}
	}
}

// confirm returns nil if the log has the event. Who was told of it knows it, and brings it back should the log lose it; who
// was waited out may, in the meantime, have restored a log that was lost, without it.
func (s *Store) confirm(ctx context.Context, f *follow, p tag.Position) error {
	if err := s.catchUp(ctx, f); err != nil {
		return err
	}
	if !f.explains(p) {
		return fmt.Errorf("%w: the log has lost it", cache.ErrUnavailable)
	}
	return nil
}

// members asks who vouches for what it holds.
func (s *Store) members(ctx context.Context, app string) (members, error) {
	reply, err := s.run(ctx, membersScript, s.config.small(), []string{s.keys.log(app)}, cache.Bound.Milliseconds())
	if err != nil {
		return members{}, fmt.Errorf("look for the members of %q: %w", app, err)
	}
	r := fields{list: reply}
	m := r.members(time.Now())
	if r.bad {
		return members{}, fmt.Errorf("look for the members of %q: %w: unexpected reply", app, cache.ErrUnavailable)
	}
	return m, nil
}

// Acknowledge implements cache.Log.
func (s *Store) Acknowledge(ctx context.Context, app string, p tag.Position) error {
	_, err := s.run(ctx, ackScript, s.config.small(), []string{s.keys.log(app)}, s.keys.channel(app), s.name, number(p.Seq))
	if err != nil {
		return fmt.Errorf("acknowledge events of %q: %w", app, err)
	}
	return nil
}
