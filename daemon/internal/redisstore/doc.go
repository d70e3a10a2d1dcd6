// Package redisstore keeps entries, leases and logs in Redis 7 or later (standalone, Sentinel or Cluster), shared by
// every daemon that is given the same Redis and prefix. It is the only package that knows Redis.
//
// Every step on a key is one script, and so one round trip: reading with the lease, writing with the version check,
// appending to the log. Only the bytes of a large value are read by a second command, in the time that their number needs.
// No command grows with the number of keys. A command is sent once: what timed out may have been
// done, and is not done again behind the caller's back.
//
// Under <prefix>:1: there are, with one hash slot for the first two and one for the last two,
//
//	e:{<id>}      an entry: a line of text (see entry.lua), then a frame of the Coder around record.go's header
//	l:{<id>}      its lease, while it lives
//	{<app>}:log   a hash: where the app's log is, and what its tags were marked with (see log.lua)
//	{<app>}:events  a stream: the last events of the log
//
// and one channel per app, {<app>}:told, for its events and for hints that a key was written or released. The channel
// is only the fast path. A follower checks each event against its predecessor, and about once a second its position
// against the log (less often if hundreds of apps are followed); a gap is healed from the stream, or from the hash where the stream no longer reaches back. A log that Redis
// lost, wholly or in a fail-over to a replica that was behind, goes on in a larger epoch, so that nothing rendered
// before can be taken for newer than what was lost.
//
// Not promised: that a hint arrives; that two estimates of Now agree better than a round trip; leases and versions
// across a fail-over that lost them.
package redisstore
