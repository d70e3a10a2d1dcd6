package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// ErrUnavailable is wrapped by the errors of a store that could not be asked, or not in time.
var ErrUnavailable = errors.New("store unavailable")

// ErrDoubted is wrapped by the error of a Prove that has brought the follower to where the log is, while that may lack
// events that were acknowledged: Redis failed over to a replica that may have been behind, and the daemons that know them
// may not have come yet.
var ErrDoubted = fmt.Errorf("%w: the log may lack events", ErrUnavailable)

// ErrUnreadable is wrapped by the error of a read that found a value it cannot decode. The value counts as absent.
var ErrUnreadable = errors.New("stored value unreadable")

// Store holds entries and their leases. Every method is one atomic step per key, returns within the context's deadline,
// and may be called from any number of goroutines. Errors wrap ErrUnavailable, except where a method says otherwise.
type Store interface {
	// Read returns the entry if it is newer than opt.Judged; otherwise it grants the lease, if asked to and nobody has
	// it. An error wrapping ErrUnreadable comes with a Reading all the same.
	Read(ctx context.Context, key Key, opt ReadOptions) (Reading, error)
	// Write stores e unless an entry of the same or a newer version is there, sets e.Created in the stored copy, ends
	// the lease with the given token and tells the other daemons. False: refused.
	Write(ctx context.Context, e *Entry, opt WriteOptions) (bool, error)
	// Release ends the lease with that token and tells the other daemons. False: it had ended.
	Release(ctx context.Context, key Key, token uint64, opt ReleaseOptions) (bool, error)
	// Renew lets the lease with that token live for another ttl, counted from now; it may be shorter than what is left.
	// False: it has ended, or is another's.
	Renew(ctx context.Context, key Key, token uint64, ttl time.Duration) (bool, error)
	// Claim hands a lease over to the holder's next session, which gets a new token, so that what is left of the old one
	// cannot end it: if the lease with that token lives, or if nobody has the key's lease and no entry with that token or
	// a later one was written. 0: it is lost.
	Claim(ctx context.Context, key Key, token uint64, opt ClaimOptions) (uint64, error)
	// Now is the store's clock, in milliseconds since 1970: an estimate that costs nothing.
	Now() int64
}

// ReadOptions go with Store.Read.
type ReadOptions struct {
	// Judged is the version that the caller holds and found wanting.
	Judged Version
	// Lease asks for the lease.
	Lease bool
	// Override takes the lease from whoever has it.
	Override bool
	// Holder names who asks.
	Holder string
	// TTL is how long the lease is to live.
	TTL time.Duration
}

// Reading is the answer of Store.Read.
type Reading struct {
	// Entry is newer than what was judged; nil if there is no such.
	Entry *Entry
	// Granted says that the caller has the lease with Token.
	Granted bool
	// Token is the lease's token, or, without a lease, one by which a write of the caller may compete.
	Token uint64
	// Held says that somebody else has the lease, for another Left.
	Held bool
	// Kept, with Held, says that nobody regenerates: the key is kept from being granted until Left is over, the delay
	// before a failed render is tried again.
	Kept bool
	// Uncacheable, with Held, says that nobody regenerates and nobody is waited for: the key's renders have ended without
	// a write, repeatedly, and until Left is over it is not leased.
	Uncacheable bool
	// Left is how long the lease lives.
	Left time.Duration
}

// ReleaseOptions go with Store.Release.
type ReleaseOptions struct {
	// Keep is how long nobody is granted the key: the delay before a failed render is tried again.
	Keep time.Duration
	// Completed says that the key was rendered to the end and that nothing will be written. After UncacheableAfter of
	// them, each within UncacheableFor of the one before, the key is uncacheable for UncacheableFor, or until a write.
	Completed bool
}

// When a key is uncacheable (Varnish's hit-for-miss): without it, the readers of a page that is never written would be
// parked and let go one after the other.
const (
	UncacheableAfter = 3
	UncacheableFor   = time.Minute
)

// ClaimOptions go with Store.Claim.
type ClaimOptions struct {
	// Holder names who claims.
	Holder string
	// TTL is how long the lease is to live.
	TTL time.Duration
}

// WriteOptions go with Store.Write.
type WriteOptions struct {
	// Lease is the token of the lease that the write ends; 0: none.
	Lease uint64
	// OnlyIfAbsent refuses the write if there is any entry.
	OnlyIfAbsent bool
	// Created is when the content was made, in milliseconds by the store's clock, if that was before the write. 0: now.
	Created int64
}

// Log holds the invalidations of every app, in order. Methods may be called from any number of goroutines.
type Log interface {
	// Follow begins to tell f about app, until the store is closed: f.Load is called with the state of the log before
	// Follow returns, and from then on f gets every event after it, without a gap, and the hints of the app's keys. It is
	// called once per app: after an error the store goes on trying by itself, and calls f.Load when it has succeeded.
	Follow(ctx context.Context, app string, f Follower) error
	// Append adds one event. When it returns, the event is in the log; it reaches the followers, this daemon's among
	// them, in order and through Follower.
	Append(ctx context.Context, app string, revalidations []tag.Revalidation) (tag.Position, error)
	// Prove asks the log where it stands, brings the follower there before it returns, and renews this daemon's
	// membership: that of who answers reads as fresh, and is therefore waited for by Await. told is what was applied here
	// and told to the clients of this daemon, as in Acknowledge. What the follower knows may be vouched for until the
	// returned time, which counts from before the question was sent (Gray & Cheriton, SOSP'89); it may be over already:
	// then it holds for reads that began before Prove did and for nothing else. After an error that wraps ErrDoubted the
	// follower is there too, and answers have to say that they may be old.
	Prove(ctx context.Context, app string, told tag.Position) (until time.Time, err error)
	// Acknowledge says that the events up to p were applied here and that the clients of this daemon were told.
	Acknowledge(ctx context.Context, app string, p tag.Position) error
	// Await returns once every other member has acknowledged p, or its membership has run out.
	Await(ctx context.Context, app string, p tag.Position) error
}

// Bound is how long a proof is good for, and so the longest that a daemon or a client that has fallen silent holds up a
// revalidation.
const Bound = time.Second

// Follower is told what happens to one app. Calls come one at a time and must not block.
type Follower interface {
	// Event is the next event of the log.
	Event(e tag.Event)
	// Load replaces all that was known of the log: events were missed, or the log began anew.
	Load(s tag.Snapshot, reason string)
	// Snapshot is what the follower knows: a log that was lost is restored from it.
	Snapshot() tag.Snapshot
	// Written says that an entry of this version was stored, by whichever daemon.
	Written(id ID, v Version)
	// Released says that a lease has ended without a write.
	Released(id ID)
}
