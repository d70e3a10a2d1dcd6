// Package simulation runs small fleets under a virtual clock and looks, at every step, whether the promises hold. It has
// tests only.
//
// Real: the whole daemon between its two networks, package cache on package redisstore, with the hub and the sessions of
// package server. Modelled: Redis (each script is a function over a keyspace that sees one slot at a time), both
// networks, the clients (a Next.js process with its near cache, its renders and their nested fetches), and the origin
// that they render from. A test replays what was asked of the model against real Redis and compares the replies.
//
// One goroutine decides what happens next: everything that a model does is an event of its own, at an instant of its own,
// and the seed decides when. The daemons' goroutines run between two events, in a bubble of testing/synctest, until all of
// them wait. So a seed gives the same run again:
//
//	make simulate SEEDS=100000      many
//	make simulate SEED=123          one, with its trace
//
// What depends on the order in which the Go scheduler takes goroutines that become ready at the same instant can differ
// from run to run: timers of one daemon that fire together, a select with several cases ready. What they ask of the
// models is put in order by content, and TestSeedsAreRepeatable counts what is left of it.
package simulation
