package cache

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"github.com/isrd/isrd/daemon/internal/lease"
)

// endings are as many microseconds as the daemon's clock cannot tell from each other.
const endings = 1000

// tokens makes the tokens of writes that have no lease, such as those while the store is away. Daemons that cannot ask it
// give them at the same time and after the same entry, and two writes of one version would be one to whoever compares
// them: so each has an ending of its own. One daemon's endings differ, but for every thousandth; two daemons' are the same
// with a chance of one in a thousand, in the same millisecond.
type tokens struct{ last atomic.Uint64 }

func newTokens() *tokens {
	var from [8]byte
	_, _ = rand.Read(from[:]) // it never fails
	t := new(tokens)
	t.last.Store(binary.NativeEndian.Uint64(from[:]))
	return t
}

// next gives a token at now, in milliseconds by the store's clock, that is larger than previous.
func (t *tokens) next(previous uint64, now int64) uint64 {
	return lease.NextToken(previous, now) + t.ending()
}

// old gives a token that is smaller than any that is a time.
func (t *tokens) old() uint64 { return 1 + t.ending() }

func (t *tokens) ending() uint64 { return t.last.Add(1) % endings }
