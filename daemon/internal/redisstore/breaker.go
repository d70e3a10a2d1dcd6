package redisstore

import (
	"errors"
	"sync"
)

// breaker lets operations fail at once while Redis does not answer, rather than let each of them wait for its time-out.
//
// It is not a library's (sony/gobreaker, for one) because theirs close again by letting a caller's request try, which
// then is the one that waits; and they cannot be told by a probe of one's own that all is well, which is all there is to
// this one.
type breaker struct {
	onChange func(open bool)

	mu       sync.Mutex
	armed    bool // somebody probes, so it will close again
	open     bool
	failures int // in succession
}

// tripAfter failures in succession: one can be a connection that was lost.
const tripAfter = 3

var errOpen = errors.New("redis has not answered for a while")

// allow returns errOpen if there is no use in asking.
func (b *breaker) allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		return errOpen
	}
	return nil
}

// failed counts an operation that Redis did not answer.
func (b *breaker) failed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	if b.armed && !b.open && b.failures >= tripAfter {
		b.open = true
		b.onChange(true)
	}
}

// answered says that Redis is there.
func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
	if b.open {
		b.open = false
		b.onChange(false)
	}
}

// arm says whether somebody probes. Without, the breaker is closed and stays so; that is no answer, and nobody is told.
func (b *breaker) arm(armed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, b.failures = armed, 0
	if !armed {
		b.open = false
	}
}
