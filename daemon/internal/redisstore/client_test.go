package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestClassify(t *testing.T) {
	sentinels := []error{ErrAnswer, ErrBusy, ErrUnsent}
	for _, tc := range []struct {
		name string
		err  error
		want error // of the sentinels
		lost bool
	}{
		{"none", nil, nil, false},
		{"an answer", fmt.Errorf("eval: %w", redis.Nil), ErrAnswer, false},
		{"no connection is free", fmt.Errorf("get: %w", redis.ErrPoolTimeout), ErrBusy, false},
		{"closed", redis.ErrClosed, ErrUnsent, false},
		{"no connection", &net.OpError{Op: "dial", Err: os.ErrPermission}, ErrUnsent, false},
		{"a connection that broke", &net.OpError{Op: "read", Err: os.ErrPermission}, nil, true},
		{"late", context.DeadlineExceeded, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := classify(tc.err)
			if !errors.Is(got, tc.err) {
				t.Errorf("%v is not %v any more", got, tc.err)
			}
			for _, s := range sentinels {
				if is, want := errors.Is(got, s), errors.Is(tc.want, s); is != want {
					t.Errorf("is %q: %v, want %v", s, is, want)
				}
			}
			if lost(got) != tc.lost {
				t.Errorf("lost: %v, want %v", !tc.lost, tc.lost)
			}
		})
	}
}
