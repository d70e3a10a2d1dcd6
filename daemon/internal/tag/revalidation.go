package tag

import (
	"math"
	"time"
)

// Never is the expiry of a mark that only makes entries stale.
const Never int64 = math.MaxInt64

// Revalidation asks for one tag to be marked.
type Revalidation struct {
	// Tag is what to mark.
	Tag string
	// Soft makes entries stale now and expired after Expire; otherwise they are expired at once. It is what Next.js 16
	// passes as revalidateTag(tag, {expire}).
	Soft bool
	// Expire counts only if Soft; ForEver means that the entries only become stale.
	Expire time.Duration
}

// ForEver is the Expire of a revalidation that never expires an entry by itself.
const ForEver = time.Duration(math.MaxInt64)

// Mark is what one event says of one tag.
type Mark struct {
	// Tag is what is marked.
	Tag string
	// Soft says that entries are stale until ExpireAt; otherwise they are expired.
	Soft bool
	// ExpireAt is when a soft mark expires entries, in milliseconds by the store's clock, or Never.
	ExpireAt int64
}

// Event is one revalidation as it stands in the log.
type Event struct {
	// Position is its place, with its nonce.
	Position Position
	// At is when it was appended, in milliseconds by the store's clock.
	At int64
	// Marks are the tags it marks.
	Marks []Mark
}

// MarkAt resolves a revalidation into the mark of an event that is appended at now (milliseconds, the store's clock).
func (r Revalidation) MarkAt(now int64) Mark {
	switch {
	case !r.Soft:
		return Mark{Tag: r.Tag}
	case r.Expire == ForEver:
		return Mark{Tag: r.Tag, Soft: true, ExpireAt: Never}
	default:
		return Mark{Tag: r.Tag, Soft: true, ExpireAt: now + r.Expire.Milliseconds()}
	}
}

// AskedAt gives what must be asked for at now (milliseconds, the store's clock) to get this mark again: MarkAt reversed.
func (m Mark) AskedAt(now int64) Revalidation {
	switch {
	case !m.Soft:
		return Revalidation{Tag: m.Tag}
	case m.ExpireAt == Never:
		return Revalidation{Tag: m.Tag, Soft: true, Expire: ForEver}
	default:
		return Revalidation{Tag: m.Tag, Soft: true, Expire: time.Duration(max(m.ExpireAt-now, 0)) * time.Millisecond}
	}
}
