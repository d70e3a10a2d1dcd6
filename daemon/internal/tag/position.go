package tag

import "fmt"

// Position is a place in an app's invalidation log.
type Position struct {
	// Epoch is the life of the log. A log that was lost, or that regressed in a fail-over, gets a larger one.
	Epoch uint64
	// Seq is the number of the last event.
	Seq uint64
	// Nonce identifies the event at Seq, so that two histories with the same numbers are told apart.
	Nonce string
}

// Before reports whether p is earlier than q: by epoch, then by seq.
func (p Position) Before(q Position) bool {
	if p.Epoch != q.Epoch {
		return p.Epoch < q.Epoch
	}
	return p.Seq < q.Seq
}

// String gives the position as epoch/seq, for logs.
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Epoch, p.Seq) }
