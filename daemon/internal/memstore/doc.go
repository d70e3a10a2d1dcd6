// Package memstore is the embedded store: entries, leases and logs in the memory of one daemon. It is the default, and
// needs no set-up; what it holds ends with the process.
//
// It is the truth, not a copy: what is evicted for want of room is regenerated. It has the semantics of the Redis store,
// and both pass the same tests (cachetest); followers are called on the goroutine of whoever writes or appends, so what
// Append has returned is applied already.
package memstore
