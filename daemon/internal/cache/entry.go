package cache

import (
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/tag"
)

// Version orders the writes of one key: by epoch, then seq, then token.
type Version struct {
	// Epoch of the log position that the content was rendered at.
	Epoch uint64
	// Seq of that position: invalidations after it concern the content.
	Seq uint64
	// Token grows with every grant of the key.
	Token uint64
}

// IsZero reports whether there is no version.
func (v Version) IsZero() bool { return v == Version{} }

// Less reports whether v is older than o.
func (v Version) Less(o Version) bool {
	if v.Epoch != o.Epoch {
		return v.Epoch < o.Epoch
	}
	if v.Seq != o.Seq {
		return v.Seq < o.Seq
	}
	return v.Token < o.Token
}

// String gives the version as it stands in stored values: three numbers of 16 hex digits, so that text order is order.
func (v Version) String() string { return fmt.Sprintf("%016x.%016x.%016x", v.Epoch, v.Seq, v.Token) }

// ParseVersion reads what String wrote.
func ParseVersion(s string) (Version, error) {
	var v Version
	if n, err := fmt.Sscanf(s, "%16x.%16x.%16x", &v.Epoch, &v.Seq, &v.Token); n != 3 || err != nil || len(s) != 50 {
		return Version{}, fmt.Errorf("version %q: want three numbers of 16 hex digits, joined by dots", s)
	}
	return v, nil
}

// Lifetime is what Next.js calls cacheControl. Negative: without limit.
type Lifetime struct {
	// Revalidate is the age at which the entry is stale.
	Revalidate time.Duration
	// Expire is the age at which it may not be served any more.
	Expire time.Duration
}

// Unlimited is a lifetime without an end.
const Unlimited time.Duration = -1

// Judge gives the freshness at an age.
func (l Lifetime) Judge(age time.Duration) tag.Freshness {
	switch {
	case l.Expire >= 0 && age >= l.Expire:
		return tag.Expired
	case l.Revalidate >= 0 && age >= l.Revalidate:
		return tag.Stale
	default:
		return tag.Fresh
	}
}

// MaxTTL is the longest that a store keeps an entry, whatever its lifetime says.
const MaxTTL = 30 * 24 * time.Hour

// TTL is how long a store keeps an entry with this lifetime.
func (l Lifetime) TTL() time.Duration {
	if l.Expire < 0 || l.Expire > MaxTTL {
		return MaxTTL
	}
	return l.Expire
}

// Entry is one stored value. It is never changed after it was made, so it may be shared.
type Entry struct {
	// Key names it, also inside the store, for people and against collisions.
	Key Key
	// Version is what it was rendered at.
	Version Version
	// Created is when the store took it, in milliseconds by the store's clock.
	Created int64
	// Lifetime counts from Created.
	Lifetime Lifetime
	// Tags invalidate it.
	Tags []string
	// Meta is the client's own description, opaque here.
	Meta []byte
	// Parts are the body, opaque here.
	Parts [][]byte
}

// Size is roughly what the entry costs in memory, in bytes.
func (e *Entry) Size() int {
	n := 256 + len(e.Key.Name) + len(e.Meta)
	for _, p := range e.Parts {
		n += len(p) + 24
	}
	for _, t := range e.Tags {
		n += len(t) + 16
	}
	return n
}

// BodySize is the size of the parts, in bytes.
func (e *Entry) BodySize() int {
	n := 0
	for _, p := range e.Parts {
		n += len(p)
	}
	return n
}

// DescriptionSize is the size of all but the parts, in bytes.
func (e *Entry) DescriptionSize() int {
	n := len(e.Meta)
	for _, t := range e.Tags {
		n += len(t)
	}
	return n
}

// Age is how old the entry is at now, in milliseconds by the store's clock; never negative.
func (e *Entry) Age(now int64) time.Duration {
	return time.Duration(max(now-e.Created, 0)) * time.Millisecond
}
