package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/queue"
)

// statusOf is the one place where errors become gRPC codes.
func statusOf(err error) *status.Status {
	if s, ok := status.FromError(err); ok { // nil, and what this package made itself
		return s
	}
	code := codes.Internal
	switch {
	case errors.Is(err, cache.ErrKey), errors.Is(err, queue.ErrPath):
		code = codes.InvalidArgument
	case errors.Is(err, cache.ErrTooManyApps), errors.Is(err, queue.ErrFull):
		code = codes.ResourceExhausted
	case errors.Is(err, cache.ErrUnavailable), errors.Is(err, queue.ErrUnavailable):
		code = codes.Unavailable
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	}
	return status.New(code, err.Error())
}
