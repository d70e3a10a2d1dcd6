package queue

import (
	"context"
	"errors"
	"time"
)

// Offer is a process that is ready to regenerate pages.
type Offer struct {
	// App and Build that it serves.
	App, Build string
	// Instance names it, for people.
	Instance string
	// Concurrency is how many jobs it takes at the same time.
	Concurrency int
	// Role that it was given, such as "dedicated".
	Role string
	// Ordinal among the replicas; negative: the platform has none.
	Ordinal int
}

// ErrGone is wrapped by the error of a Process whose session has ended.
var ErrGone = errors.New("the process has gone")

// Process is a Next.js process with a session.
type Process interface {
	// Regenerate asks for one page and returns what became of it. The error wraps ErrGone or the context's cause.
	Regenerate(ctx context.Context, t Task) (Report, error)
}

// Task is a job as a process is told it.
type Task struct {
	// ID names the job.
	ID string
	// Path to request, without basePath.
	Path string
	// OnlyIfCached leaves alone what is not cached.
	OnlyIfCached bool
	// Within is how long it may take.
	Within time.Duration
}

// Report is what the process said, and what was seen on its session meanwhile.
type Report struct {
	// HTTPStatus of its response; 0: there was none.
	HTTPStatus int
	// NextCache is the x-nextjs-cache header.
	NextCache string
	// Error is why it failed.
	Error string
	// TooLarge says that the process did not even send the page, for its size.
	TooLarge bool
	// Name is the key's, if the process knows it.
	Name string
	// Writes of pages that came from the process between task and answer.
	Writes []Write
}

// Write is one page that a process has written.
type Write struct {
	// Name is the key's.
	Name string
	// Epoch and Seq are the log position that it was rendered at.
	Epoch, Seq uint64
	// Kept says that the store has it, or something newer.
	Kept bool
	// TooLarge says that it was refused for its size.
	TooLarge bool
}
