// Package cache decides every read, write and invalidation.
//
// A read is answered from memory (L1) while the entry is fresh. Otherwise the store is asked, in the same round trip, for
// a newer version than the one judged or for the lease to regenerate; who gets neither and has nothing to serve is parked
// until the write, the release or the end of its wait. A write carries the version that it was rendered at and loses
// against a newer one. Tags are judged when an entry is read, always, by the app's manifest, so an invalidation is one
// event however many keys it concerns.
//
// The package does no I/O: a Store holds entries and leases, a Log the invalidations; see memstore and redisstore.
package cache
