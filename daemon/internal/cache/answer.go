package cache

import (
	"time"

	"github.com/isrd/isrd/daemon/internal/lease"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// Status is the outcome of a read; the numbers are those of the wire.
type Status uint8

// The outcomes of a read.
const (
	// Hit is fresh.
	Hit Status = 1
	// Stale may be served; with a lease the caller regenerates, without one somebody else does.
	Stale Status = 2
	// Miss means there is nothing to serve: render.
	Miss Status = 3
)

// String gives the outcome as metrics have it.
func (s Status) String() string { return [...]string{"", "hit", "stale", "miss"}[s] }

// Reason says why an answer is not a hit; the numbers are those of the wire.
type Reason uint8

// The reasons.
const (
	// NoReason goes with a hit.
	NoReason Reason = 0
	// Absent: there is no entry.
	Absent Reason = 1
	// Revalidate: past the revalidate time.
	Revalidate Reason = 2
	// Expired: past the expire time.
	Expired Reason = 3
	// TagStale: a tag was revalidated softly.
	TagStale Reason = 4
	// TagExpired: a tag was revalidated.
	TagExpired Reason = 5
	// Waited: the wait for another holder was in vain.
	Waited Reason = 6
	// Uncacheable: the key's renders end without a write; nobody is waited for.
	Uncacheable Reason = 7
	// StoreUnavailable: the store could not be asked in time.
	StoreUnavailable Reason = 8
	// Unreadable: the stored value cannot be decoded.
	Unreadable Reason = 9
	// Epoch: the entry belongs to a log that nobody can explain.
	Epoch Reason = 10
)

var reasonNames = [...]string{"", "absent", "revalidate", "expired", "tag_stale", "tag_expired", "waited", "uncacheable",
	"store_unavailable", "unreadable", "epoch"}

// String gives the reason as metrics have it.
func (r Reason) String() string { return reasonNames[r] }

// Outcome is what became of a write; the numbers are those of the wire.
type Outcome uint8

// The outcomes of a write.
const (
	// Accepted: taken, and stored or about to be.
	Accepted Outcome = 1
	// RefusedOlder: a newer version is there.
	RefusedOlder Outcome = 2
	// RefusedInvalidated: invalidated while it was rendered.
	RefusedInvalidated Outcome = 3
	// RefusedTooLarge: larger than the daemon takes.
	RefusedTooLarge Outcome = 4
	// LocalOnly: the store could not be reached; this daemon serves it from its memory.
	LocalOnly Outcome = 5
)

var outcomeNames = [...]string{"", "accepted", "refused_older", "refused_invalidated", "refused_too_large", "local_only"}

// String gives the outcome as metrics have it.
func (o Outcome) String() string { return outcomeNames[o] }

// GetRequest asks for one entry.
type GetRequest struct {
	// Key is which.
	Key Key
	// SoftTags are judged like the entry's own, but belong to the reader.
	SoftTags []string
	// Held is a version whose body the caller has.
	Held Version
	// Judged is a version that the caller found wanting.
	Judged Version
	// OnDemand: the caller renders in any case. The key is marked stale first, and a lease is overridden.
	OnDemand bool
	// NoLease: the caller will not regenerate; it is not parked either.
	NoLease bool
	// AsOf must have been applied before the answer.
	AsOf tag.Position
	// WaitLimit is the longest that the caller is parked; 0, or more than the daemon's limit for the space: that limit.
	WaitLimit time.Duration
	// Holder names the caller, for leases.
	Holder string
	// Parked, if set, is called once, before the caller is parked, with the longest that it will take.
	Parked func(limit time.Duration)
}

// Answer is the outcome of a read.
type Answer struct {
	// Status is the outcome, Reason why it is no hit.
	Status Status
	Reason Reason
	// Entry is what to serve; nil on a miss.
	Entry *Entry
	// Age of the entry.
	Age time.Duration
	// Lease is the caller's, if its token is not 0.
	Lease lease.Lease
	// Base is what a write that follows must carry.
	Base Version
	// AsOf is the position that the answer was judged at.
	AsOf tag.Position
	// Unchanged: Held is still the answer.
	Unchanged bool
	// LeaseLeft is how long another holder's lease lives.
	LeaseLeft time.Duration
}
