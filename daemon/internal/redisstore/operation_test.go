package redisstore

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
)

func TestOutcomeOf(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name    string
		ctx     context.Context //nolint:containedctx // a case of the table
		err     error
		hurried bool
		want    string
	}{
		{"done", t.Context(), nil, false, outcomeOK},
		{"late", t.Context(), fmt.Errorf("read: %w", context.DeadlineExceeded), false, outcomeTimeout},
		{"late, by the socket", t.Context(), &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, false, outcomeTimeout},
		{"hurried", t.Context(), context.DeadlineExceeded, true, outcomeCanceled},
		{"the caller went", gone, context.Canceled, false, outcomeCanceled},
		{"no connection is free", t.Context(), fmt.Errorf("get: %w", ErrBusy), false, outcomeBusy},
		{"no connection is free, and hurried", t.Context(), ErrBusy, true, outcomeBusy},
		{"no connection", t.Context(), fmt.Errorf("get: %w", ErrUnsent), false, outcomeFailed},
		{"a connection that broke", t.Context(), &net.OpError{Op: "read", Err: os.ErrPermission}, false, outcomeFailed},
		{"an error", t.Context(), fmt.Errorf("eval: %w", ErrAnswer), false, outcomeError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := outcomeOf(tc.ctx, tc.err, tc.hurried); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
