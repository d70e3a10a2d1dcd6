package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
)

// Outcomes of an operation, as in the metrics.
const (
	outcomeOK       = "ok"
	outcomeRefused  = "refused"  // not tried: Redis has not answered for a while
	outcomeCanceled = "canceled" // the caller went, or had less time than the operation may take
	outcomeError    = "error"    // Redis answered with an error
	outcomeTimeout  = "timeout"  // Redis did not answer in time
	outcomeFailed   = "failed"   // no connection, or it broke
	outcomeSlow     = "slow"     // a large value did not get through in time
	outcomeBusy     = "busy"     // every connection was in use: says nothing of Redis
)

// run runs a script and learns from the time in its reply. Every script's time is where timeIn says.
func (s *Store) run(ctx context.Context, sc Script, l limit, names []string, args ...any) ([]any, error) {
	var reply []any
	err := s.do(ctx, sc.Name, l, func(ctx context.Context) (err error) {
		sent := time.Now()
		if reply, err = s.server.Eval(ctx, sc, names, args...); err == nil {
			if micros, ok := timeIn(sc.Name, reply); ok {
				s.clock.observe(sent, time.Now(), micros)
			}
		}
		return err
	})
	return reply, err
}

// timeIn finds the two fields of TIME in a script's reply: last, or for load in third place.
func timeIn(name string, reply []any) (micros int64, ok bool) {
	at := len(reply) - 2
	if name == loadScript.Name {
		at = 2
	}
	if at < 0 || len(reply) < at+2 {
		return 0, false
	}
	f := fields{list: reply[at : at+2]}
	micros = int64(f.number()*1_000_000 + f.number())
	return micros, !f.bad
}

// do carries out one operation within its limit, unless there is no use in it now. The error wraps cache.ErrUnavailable.
func (s *Store) do(ctx context.Context, op string, l limit, f func(context.Context) error) error {
	if err := s.breaker.allow(); err != nil {
		s.metrics.duration.WithLabelValues(op, outcomeRefused).Observe(0)
		return fmt.Errorf("%w: %w", cache.ErrUnavailable, err)
	}
	return s.try(ctx, op, l, f)
}

// try carries out one operation within its limit. The error wraps cache.ErrUnavailable.
func (s *Store) try(ctx context.Context, op string, l limit, f func(context.Context) error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w: %w", cache.ErrUnavailable, ErrUnsent, context.Cause(ctx))
	}
	begun := time.Now()
	deadline, ok := ctx.Deadline()
	hurried := ok && deadline.Before(begun.Add(l.within))
	bounded, cancel := context.WithTimeout(ctx, l.within)
	defer cancel()
	err := f(bounded)
	outcome := outcomeOf(ctx, err, hurried)
	if outcome == outcomeTimeout && l.large {
		outcome = outcomeSlow
	}
	s.metrics.duration.WithLabelValues(op, outcome).Observe(time.Since(begun).Seconds())
	switch outcome {
	case outcomeOK:
		s.breaker.answered()
		return nil
	case outcomeError:
		s.breaker.answered()
	case outcomeTimeout, outcomeFailed:
		s.breaker.failed()
	}
	return fmt.Errorf("%w: %w", cache.ErrUnavailable, err)
}

// outcomeOf says what an error of the server means. Who was hurried by its caller cannot say that Redis is late.
func outcomeOf(ctx context.Context, err error, hurried bool) string {
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, ErrAnswer):
		return outcomeError
	case ctx.Err() != nil:
		return outcomeCanceled
	case errors.Is(err, ErrBusy):
		return outcomeBusy
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		if hurried {
			return outcomeCanceled
		}
		return outcomeTimeout
	default:
		return outcomeFailed
	}
}

// changed is called by the breaker.
func (s *Store) changed(open bool) {
	if open {
		s.metrics.up.Set(0)
		s.log.Warn("redis does not answer; going on without it")
		return
	}
	s.metrics.up.Set(1)
	s.log.Info("redis answers again")
}

// How often Redis is asked whether it answers: enough to be back within a second, and to know within a second or two.
const (
	probeInterval     = time.Second
	probeIntervalOpen = 250 * time.Millisecond
)

// probe asks whether Redis answers until ctx ends.
func (s *Store) probe(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		next := probeInterval
		if err := s.Ping(ctx); err != nil {
			next = probeIntervalOpen
			s.log.Debug("probe of redis", slog.Any("error", err))
		} else {
			s.metrics.up.Set(1)
		}
		timer.Reset(next)
	}
}
