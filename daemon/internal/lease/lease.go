// Package lease grants the right to fill one key (Memcache at Facebook, NSDI'13 §3.2).
//
// A lease keeps others from doing the same work; it is no mutual exclusion. A holder that stalls beyond the TTL is
// followed by another, and both may write: the token, which grows with every grant, lets the store refuse the older
// write (fencing). Nothing here reads a clock: times are milliseconds by the store's clock and are handed in.
package lease

import "time"

// Lease is the right to fill one key.
type Lease struct {
	// Key is the id of the entry.
	Key string
	// Token is the fencing token: it grows with every grant of one key.
	Token uint64
	// Holder names who fills the key; several leases may have one holder.
	Holder string
	// TTL is how long it lives from its grant.
	TTL time.Duration
}

// NextToken gives the token of a grant at now (milliseconds by the store's clock) after one with token previous.
// Being both ahead of the clock's microseconds and of its predecessor, it grows even when the store lost the
// predecessor and even when the clock was set back.
func NextToken(previous uint64, now int64) uint64 {
	return max(previous+1, uint64(max(now, 0))*1000)
}
