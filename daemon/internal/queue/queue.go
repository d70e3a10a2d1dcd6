package queue

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrUnavailable is wrapped by the errors of a store that could not be asked, or not in time.
	ErrUnavailable = errors.New("queue unavailable")
	// ErrFull is wrapped by the error of an Enqueue that found no room.
	ErrFull = errors.New("the queue is full; try again when some of it is worked off")
	// ErrRequest is wrapped by the error of a request that is wrong, whenever it is sent.
	ErrRequest = errors.New("invalid request")
	// ErrNotLeader is wrapped by the error of a Claim whose term is over.
	ErrNotLeader = errors.New("another is the leader")
)

// Jobs is what those who enqueue and look ask for. Methods may be called from any number of goroutines; errors wrap
// ErrUnavailable, except where a method says otherwise.
type Jobs interface {
	// Builds are those that have a registered process somewhere, as far as is known.
	Builds(ctx context.Context, app string) ([]string, error)
	// Enqueue adds jobs, and returns a ticket for each in order. After an error the tickets are those of the first
	// requests, which are queued; the others may be, and can be enqueued again. The error may wrap ErrFull.
	Enqueue(ctx context.Context, app string, requests []Request) ([]Ticket, error)
	// Get returns the jobs that are known, in order.
	Get(ctx context.Context, app string, ids []string) ([]Job, error)
	// List returns about limit jobs (a page of them may be empty) and where the next page begins; "": there is none.
	List(ctx context.Context, app string, opt ListOptions) ([]Job, string, error)
	// Retry makes jobs due that have failed or are dead, and returns how many.
	Retry(ctx context.Context, app string, ids []string) (int, error)
	// Drop removes jobs that are not claimed, and returns how many.
	Drop(ctx context.Context, app string, ids []string) (int, error)
	// Listen returns a channel that gets a value after something of that kind has happened in the app's queue, and how to
	// stop that. A value can be lost: look again after Recheck.
	Listen(app string, kind Kind) (<-chan struct{}, func())
}

// Work is what workers ask for. As for Jobs.
type Work interface {
	// Claim takes jobs that are due. It also says that the builds have a registered process, and does what is due with
	// jobs of others: with no free place at all, nothing but that. The error may wrap ErrNotLeader.
	Claim(ctx context.Context, app string, opt ClaimOptions) (Claimed, error)
	// Renew lets claims live on, and returns for each whether it does.
	Renew(ctx context.Context, app string, claims []Claim) ([]bool, error)
	// Finish ends a claim. False: it was over, and nothing has changed.
	Finish(ctx context.Context, app string, c Claim, r Result) (bool, error)
	// Lead makes holder the leader, or lets it be so for longer, if nobody else is. A holder is one life of one daemon.
	Lead(ctx context.Context, app, holder string, ttl time.Duration) (Term, error)
	// Resign ends a term early.
	Resign(ctx context.Context, app, holder string) error
	// Listen is as in Jobs.
	Listen(app string, kind Kind) (<-chan struct{}, func())
}

// Recheck is how long who listens waits for a signal at most before looking again.
const Recheck = 3 * time.Second

// PresenceTTL is for how long a build counts as having a process after a Claim said so.
const PresenceTTL = 4 * Recheck

// Kind is of what Listen tells.
type Kind uint8

const (
	// Ready says that something may be claimed, or has become due earlier.
	Ready Kind = iota
	// Ended says that a job is done, dead or gone.
	Ended
)

// Config is what both implementations are told. The zero value works.
type Config struct {
	// Max bounds the jobs of an app that have not ended. Bulk jobs may fill 80 % of it, normal ones 90 %. Default 100,000.
	Max int
	// MaxDead bounds the dead jobs that are kept; the oldest goes first. Default 1,000.
	MaxDead int
	// Attempts before a job is dead. Default 5.
	Attempts int
	// Patience is how long a job may wait unclaimed before it is dead. Default 6 h.
	Patience time.Duration
	// Keep is how long jobs that are done are known. Default 15 min.
	Keep time.Duration
	// KeepDead is the same for dead ones. Default 7 days.
	KeepDead time.Duration
	// Lease is how long a claim lives unless it is renewed. Default 6 s.
	Lease time.Duration
	// Settle is the least time between two claims of the same path. Default 1.5 s.
	Settle time.Duration
}

// WithDefaults fills in what is zero.
func (c Config) WithDefaults() Config {
	or := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	orInt := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	orInt(&c.Max, 100_000)
	orInt(&c.MaxDead, 1000)
	orInt(&c.Attempts, 5)
	or(&c.Patience, 6*time.Hour)
	or(&c.Keep, 15*time.Minute)
	or(&c.KeepDead, 7*24*time.Hour)
	or(&c.Lease, 6*time.Second)
	or(&c.Settle, 1500*time.Millisecond)
	return c
}

// Limit is how many jobs may be open for one of this priority to be added.
func (c Config) Limit(p Priority) int {
	switch p {
	case Bulk:
		return c.Max - c.Max/5
	case Normal:
		return c.Max - c.Max/10
	default:
		return c.Max
	}
}

// First is the one of n builds that the claim with this number looks for jobs in first. The steps from one claim of a low
// priority to the next, 4 and 16, may be rounds of n: so it moves on with every sixteen.
func First(turn uint64, n int) int {
	return int((turn + turn/16) % uint64(max(n, 1))) //nolint:gosec // less than n
}

// Order is the order of priorities that the claim with this number looks for jobs in.
func Order(turn uint64) [3]Priority {
	switch {
	case turn%16 == 15:
		return [3]Priority{Bulk, Normal, Interactive}
	case turn%4 == 3:
		return [3]Priority{Normal, Interactive, Bulk}
	default:
		return [3]Priority{Interactive, Normal, Bulk}
	}
}
