package app

import (
	"context"
	"errors"
	"fmt"
)

// part is something long-lived: run returns when its context ends, after it has stopped, or with an error when it fails.
type part struct {
	name string
	run  func(context.Context) error
}

// runParts starts the parts in order and, when ctx ends or one of them fails, stops them one after the other in the
// reverse order: each has stopped before the ones that it stands on are told to.
func runParts(ctx context.Context, parts ...part) error {
	type ended struct {
		index int
		err   error
	}
	all := make(chan ended, len(parts))
	cancels := make([]context.CancelFunc, len(parts))
	for i, p := range parts {
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		cancels[i] = cancel
		go func() { all <- ended{i, p.run(partCtx)} }()
	}
	var problems []error
	over := make([]bool, len(parts))
	note := func(e ended) {
		over[e.index] = true
		if e.err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", parts[e.index].name, e.err))
		}
	}
	select {
	case <-ctx.Done():
	case e := <-all:
		note(e)
		if e.err == nil {
			problems = append(problems, fmt.Errorf("%s ended by itself", parts[e.index].name))
		}
	}
	for i := len(parts) - 1; i >= 0; i-- {
		cancels[i]()
		for !over[i] {
			note(<-all)
		}
	}
	return errors.Join(problems...)
}
