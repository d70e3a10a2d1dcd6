package queue

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Priority says who goes first; the numbers are those of the wire.
type Priority uint8

// The priorities.
const (
	// Interactive: somebody waits.
	Interactive Priority = 1
	// Normal: nobody waits.
	Normal Priority = 2
	// Bulk: there are thousands.
	Bulk Priority = 3
)

// State is where a job is; the numbers are those of the wire.
type State uint8

// The states.
const (
	// Queued: it waits.
	Queued State = 1
	// Taken: it is claimed.
	Taken State = 2
	// Done: it has ended with an outcome.
	Done State = 3
	// Failed: it is tried again at RetryAt.
	Failed State = 4
	// Dead: it is not tried again.
	Dead State = 5
)

// Outcome is the end of a job that is done; the numbers are those of the wire.
type Outcome uint8

// The outcomes.
const (
	// Written: a page whose render began after the claim.
	Written Outcome = 1
	// NotFound: there is none, and nothing was cached.
	NotFound Outcome = 2
	// Redirected: the path leads elsewhere, and nothing was cached.
	Redirected Outcome = 3
	// NotCached: it was to be regenerated only if it is cached, and is not.
	NotCached Outcome = 4
	// NoWrite: answered without a write, and it need not be tried again.
	NoWrite Outcome = 5
	// TooLarge: rendered, and too large to be kept.
	TooLarge Outcome = 6
)

var outcomeNames = [...]string{"", "written", "not_found", "redirected", "not_cached", "no_write", "too_large"}

// String gives the outcome as metrics have it.
func (o Outcome) String() string { return outcomeNames[o] }

// Request is a job to be.
type Request struct {
	// Path to regenerate, without basePath.
	Path string
	// Build to regenerate it for; "": the first that gets a process.
	Build string
	// Priority of the job. A collapsed one has the highest that was asked for.
	Priority Priority
	// OnlyIfCached leaves alone what is not cached. A collapsed job does so if all who asked said so.
	OnlyIfCached bool
}

// Ticket is the job that does what a request asks for.
type Ticket struct {
	// ID names the job.
	ID string
	// Collapsed says that it was there, unclaimed.
	Collapsed bool
}

// Job is a job as it stands. Times are in milliseconds since 1970 by the store's clock; 0: never.
type Job struct {
	Request
	// ID names it.
	ID string
	// State is where it is.
	State State
	// Attempt counts its claims.
	Attempt int
	// By is who claimed it last, for people.
	By string
	// Enqueued, Claimed and RetryAt are when it was enqueued, was claimed last, and will be tried again.
	Enqueued, Claimed, RetryAt int64
	// Outcome of one that is done.
	Outcome Outcome
	// HTTPStatus of the last response.
	HTTPStatus int
	// Reason of the last failure or the outcome, for people.
	Reason string
	// Token of the claim, in what Claim returns.
	Token uint64
}

// Ended says that nothing more will become of it by itself.
func (j Job) Ended() bool { return j.State == Done || j.State == Dead }

// Claim gives what Renew and Finish ask for.
func (j Job) Claim() Claim { return Claim{ID: j.ID, Token: j.Token} }

// Claim is the right to work on a job.
type Claim struct {
	// ID names the job.
	ID string
	// Token is the fencing token.
	Token uint64
}

// ListOptions go with Jobs.List.
type ListOptions struct {
	// State to look for; 0: any.
	State State
	// Limit is about how many.
	Limit int
	// From is where the page before ended; "": the beginning.
	From string
}

// ClaimOptions go with Work.Claim.
type ClaimOptions struct {
	// By is who asks, for people.
	By string
	// Limit is how many jobs to take at most.
	Limit int
	// Free is for how many jobs of each build there is a place.
	Free map[string]int
	// Term of the leader that asks; 0: there is no leader.
	Term uint64
}

// Claimed is the answer of Work.Claim.
type Claimed struct {
	// Jobs that were taken.
	Jobs []Job
	// Next is when something becomes due that is known of now; 0: nothing is.
	Next time.Duration
	// Open and Dead are how many jobs have not ended, and how many are dead.
	Open, Dead int
}

// Verdict is what becomes of a job whose claim ends.
type Verdict uint8

const (
	// Complete says that it is done.
	Complete Verdict = iota
	// TryAgain says that it failed and is tried again, unless it was the last attempt.
	TryAgain
	// GiveBack says that nobody has begun it.
	GiveBack
	// GiveUp says that it is dead.
	GiveUp
)

// Result ends a claim.
type Result struct {
	// Verdict is what becomes of it.
	Verdict Verdict
	// Outcome of one that is done.
	Outcome Outcome
	// HTTPStatus of the response; 0: there was none.
	HTTPStatus int
	// Reason, for people.
	Reason string
	// Delay before it is tried again.
	Delay time.Duration
}

// Term is the time of a leader.
type Term struct {
	// Number grows with every new leader; 0: somebody else leads.
	Number uint64
	// Left is how long it lasts: this one's, or the other's.
	Left time.Duration
}

// ErrPath is wrapped by the errors of CheckPath.
var ErrPath = errors.New("invalid path")

// maxPath is more than browsers and proxies agree on.
const maxPath = 2048

// CheckPath says what is wrong with a path from outside: it is requested from a server as it is.
func CheckPath(path string) error {
	switch {
	case len(path) > maxPath:
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrPath, len(path), maxPath)
	case !strings.HasPrefix(path, "/"), strings.HasPrefix(path, "//"):
		return fmt.Errorf("%w %.100q: it must begin with one slash, without host", ErrPath, path)
	case !utf8.ValidString(path), strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%w %.100q: it must be UTF-8 without control characters", ErrPath, path)
	case strings.ContainsAny(path, "?#\\"):
		return fmt.Errorf("%w %.100q: it may have no query, fragment or backslash", ErrPath, path)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if s := strings.ReplaceAll(strings.ToLower(segment), "%2e", "."); s == "." || s == ".." {
			return fmt.Errorf("%w %.100q: it may not climb", ErrPath, path)
		}
	}
	return nil
}

// PathOf gives the path that a key's name stands for: as it is, or after the scope that later releases put before it. The
// root is /index there, and what is below /index is /index/index.
func PathOf(name string) string {
	if strings.HasPrefix(name, "/route-cache/") {
		if _, path, ok := strings.Cut(name, "/$/"); ok {
			name = "/" + path
		}
	}
	if name == "/index" {
		return "/"
	}
	if rest, ok := strings.CutPrefix(name, "/index"); ok && strings.HasPrefix(rest, "/index") {
		return rest
	}
	return name
}
