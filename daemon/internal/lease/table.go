package lease

import (
	"sync"
	"time"
)

// Table keeps leases in memory. It is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	grants map[string]grant
	newest uint64 // of all tokens given out: a key's tokens grow also when its last grant was forgotten
}

type grant struct {
	token   uint64
	holder  string
	expires int64
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{grants: make(map[string]grant)} }

// Standing is how it stands with the lease of a key.
type Standing struct {
	// Token is that of the lease, if it was granted; otherwise one by which a write without a lease may compete.
	Token uint64
	// Granted says that the caller has the lease.
	Granted bool
	// Kept says that nobody has the lease and nobody is granted it until Left is over; see Release.
	Kept bool
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
	t.grants[l.Key] = grant{token: s.Token, holder: l.Holder, expires: now + ttl.Milliseconds()}
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
	return Standing{Token: t.next(previous, now), Left: left, Kept: left > 0 && g.holder == released}
}

func (t *Table) next(previous uint64, now int64) uint64 {
	t.newest = NextToken(max(previous, t.newest), now)
	return t.newest
}

// Release ends the lease, if token is the one that holds it. With keep, nobody is granted the key for that long: the
// delay before a failed render is tried again. False: the lease had ended.
func (t *Table) Release(key string, token uint64, keep time.Duration, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.grants[key]
	if !ok || g.token != token || g.holder == released || g.expires <= now {
		return false
	}
	if keep > 0 {
		t.grants[key] = grant{token: token, holder: released, expires: now + keep.Milliseconds()}
		return true
	}
	delete(t.grants, key)
	return true
}

// released stands for the holder of a lease that was given back and keeps others away for a while.
const released = "\x00released"

// Sweep forgets the leases that have ended and returns how many are left.
func (t *Table) Sweep(now int64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, g := range t.grants {
		if g.expires <= now {
			delete(t.grants, k)
		}
	}
	return len(t.grants)
}
