// Package redisstore keeps entries, leases and logs in Redis 7 or later (standalone, Sentinel or Cluster), shared by
// every daemon that is given the same Redis and prefix. It is the only package that knows Redis.
//
// Every step on a key is one script, and so one round trip: reading with the lease, writing with the version check,
// appending to the log. Only the bytes of a large value are read by a second command, in the time that their number needs.
// No command grows with the number of keys. A command is sent once: what timed out may have been
// done, and is not done again behind the caller's back.
//
// Under <prefix>:1: there are, with one hash slot for the first three and one for the last two,
//
//	e:{<id>}        an entry: a line of text (see entry.lua), then a frame of the Coder around record.go's header
//	l:{<id>}        its lease, while it lives
//	n:{<id>}        how many of its renders ended without a write
//	{<app>}:log     a hash: where the app's log is, what its tags were marked with, and who vouches for it (see log.lua)
//	{<app>}:events  a stream: the last events of the log
//	{<app>}:queue…  its jobs (see queue/prelude.lua), whose changes are told on a channel of their own
//
// and one channel per app, {<app>}:told, for its events, for what its members acknowledge, and for hints that a key was
// written or released. The channel is only the fast path. A follower checks each event against its predecessor, and its
// position against the log with every proof, or about once a second if nobody proves it (less often if hundreds of apps are
// followed); a gap is healed from the stream, or from the hash where the stream no longer reaches back.
//
// A log goes on in a larger epoch when Redis lost it, when it contradicts what a follower knows, and on another server: after
// a restart, or a fail-over to a replica that may have been behind. What the table still knows explains the epochs before.
// A daemon that knows marks which the log lacks appends them again; one that was vouched for gives a log that was lost its
// whole table back. What nobody can explain is regenerated. For a bound after an epoch began, nobody is vouched for and an
// Await waits, because members of the life before may still be.
//
// Not promised: that a hint arrives; that two estimates of Now agree better than a round trip; leases and versions across a
// fail-over that lost them; that a member is waited for whose time is over because the clock of Redis was set forward.
package redisstore
