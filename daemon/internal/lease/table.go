package lease

import (
	"sync"
	"time"
)

// Table keeps leases in memory. It is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	grants map[string]grant
	idle   map[string]idle
	newest uint64 // of all tokens given out: a key's tokens grow also when its last grant was forgotten
}

type grant struct {
	token   uint64
	is      state
	expires int64
}

// state is what a grant is: somebody's lease, or a time in which nobody is granted the key.
type state uint8

const (
	leased state = iota
	kept
	uncacheable
)

// idle counts the renders of a key that ended without a write.
type idle struct {
	renders int
	expires int64
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{grants: make(map[string]grant), idle: make(map[string]idle)} }

// Standing is how it stands with the lease of a key.
type Standing struct {
	// Token is that of the lease, if it was granted; otherwise one by which a write without a lease may compete.
	Token uint64
	// Granted says that the caller has the lease.
	Granted bool
	// Kept says that nobody has the lease and nobody is granted it until Left is over; see Release.
	Kept bool
	// Uncacheable says the same of a key whose renders end without a write; see Idle.
	Uncacheable bool
	// Left is how long the lease lives, whoever has it, or is kept; 0: it can be had.
	Left time.Duration
}

// Acquire grants the lease of key, unless another one lives. previous is the largest token known for the key, and
// override takes the lease from whoever has it. now is in milliseconds by the store's clock, here and below.
func (t *Table) Acquire(l Lease, previous uint64, now int64, override bool) Standing {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.standing(l.Key, previous, now)
	if s.Left > 0 && !override {
		return s
	}
	ttl := max(l.TTL, time.Millisecond)
	t.grants[l.Key] = grant{token: s.Token, expires: now + ttl.Milliseconds()}
	return Standing{Token: s.Token, Granted: true, Left: ttl}
}

// Look is Acquire without the wish for the lease.
func (t *Table) Look(key string, previous uint64, now int64) Standing {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.standing(key, previous, now)
}

func (t *Table) standing(key string, previous uint64, now int64) Standing {
	g := t.grants[key]
	left := time.Duration(max(g.expires-now, 0)) * time.Millisecond
	return Standing{
		Token: t.next(previous, now), Left: left,
		Kept: left > 0 && g.is == kept, Uncacheable: left > 0 && g.is == uncacheable,
	}
}

func (t *Table) next(previous uint64, now int64) uint64 {
	t.newest = NextToken(max(previous, t.newest), now)
	return t.newest
}

// Renew lets the lease with that token live for another ttl. False: it has ended.
func (t *Table) Renew(key string, token uint64, ttl time.Duration, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.has(key, token, now) {
		return false
	}
	t.grants[key] = grant{token: token, expires: now + ttl.Milliseconds()}
	return true
}

// Claim gives the lease with that token a new one, and another ttl: also if it has ended and nobody was granted the key
// since, unless written, the token of the key's entry, says that it was filled. 0: it is lost.
func (t *Table) Claim(key string, token, written uint64, ttl time.Duration, now int64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.standing(key, max(token, written), now)
	if s.Left > 0 && !t.has(key, token, now) || s.Left == 0 && written >= token {
		return 0
	}
	t.grants[key] = grant{token: s.Token, expires: now + ttl.Milliseconds()}
	return s.Token
}

// Release ends the lease, if token is the one that holds it. With keep, nobody is granted the key for that long: the
// delay before a failed render is tried again. False: the lease had ended.
func (t *Table) Release(key string, token uint64, keep time.Duration, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.has(key, token, now) {
		return false
	}
	if keep > 0 {
		t.grants[key] = grant{token: token, is: kept, expires: now + keep.Milliseconds()}
		return true
	}
	delete(t.grants, key)
	return true
}

// Idle counts a render of the key that came to its end without a write, each within the given time of the one before.
// With the limit-th, nobody is granted the key for that long, unless somebody has it.
func (t *Table) Idle(key string, limit int, within time.Duration, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.idle[key]
	if n.expires <= now {
		n.renders = 0
	}
	n = idle{renders: n.renders + 1, expires: now + within.Milliseconds()}
	if n.renders < limit {
		t.idle[key] = n
		return
	}
	delete(t.idle, key)
	if s := t.standing(key, 0, now); s.Left == 0 {
		t.grants[key] = grant{token: s.Token, is: uncacheable, expires: n.expires}
	}
}

// Written says that the key has an entry: it is cacheable.
func (t *Table) Written(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.idle, key)
	if t.grants[key].is == uncacheable {
		delete(t.grants, key)
	}
}

func (t *Table) has(key string, token uint64, now int64) bool {
	g, ok := t.grants[key]
	return ok && g.token == token && g.is == leased && g.expires > now
}

// Sweep forgets the leases that have ended and returns how many are left.
func (t *Table) Sweep(now int64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, g := range t.grants {
		if g.expires <= now {
			delete(t.grants, k)
		}
	}
	for k, n := range t.idle {
		if n.expires <= now {
			delete(t.idle, k)
		}
	}
	return len(t.grants)
}
