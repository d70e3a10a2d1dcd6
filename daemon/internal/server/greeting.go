package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/tag"
)

// greet reads the hello and decides whether the client is welcome.
func (s *cacheService) greet(stream isrdv1.CacheService_SessionServer) (*isrdv1.Hello, error) {
	type first struct {
		frame *isrdv1.SessionRequest
		err   error
	}
	got := make(chan first, 1) // buffered: the reader ends with the stream, whether or not anybody waits
	go func() {
		f, err := stream.Recv()
		got <- first{f, err}
	}()
	timer := time.NewTimer(helloLimit)
	defer timer.Stop()
	select {
	case f := <-got:
		if f.err != nil {
			return nil, f.err
		}
		hello := f.frame.GetHello()
		if hello == nil {
			return nil, status.Error(codes.FailedPrecondition, "the first frame of a session must be a hello")
		}
		return hello, s.accept(stream.Context(), hello)
	case <-timer.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "no hello within %v", helloLimit)
	}
}

func (s *cacheService) accept(ctx context.Context, h *isrdv1.Hello) error {
	if h.GetApp() == "" {
		return status.Error(codes.InvalidArgument, "hello.app is empty; set ISRD_APP or the name in package.json")
	}
	if h.GetProtocolMin() > protocol || h.GetProtocolMax() < protocol {
		return status.Errorf(codes.FailedPrecondition, "the client speaks protocol %d to %d, this daemon %d; upgrade the older of the two",
			h.GetProtocolMin(), h.GetProtocolMax(), protocol)
	}
	if err := s.config.authorize(ctx, h.GetToken()); err != nil {
		return err
	}
	if err := s.allowed(h.GetApp()); err != nil {
		return err
	}
	return cache.Key{App: h.GetApp(), Build: buildScope(h.GetBuild()), Space: cache.Route, Name: "/"}.Validate()
}

// welcome sends the first frame, and after it the events that the client has missed if it resumes. Events go on from the
// position that the frame names.
func (ss *session) welcome(ctx context.Context, h *isrdv1.Hello) error {
	c := ss.service.config
	leases := ss.claim(ctx, h.GetResume().GetLeases())
	until, err := ss.service.cache.Vouch(ctx, h.GetApp())
	if err != nil {
		return err
	}
	missed, resumed, err := ss.resume(ctx, h)
	if err != nil {
		return err
	}
	err = ss.stream.Send(&isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Welcome{Welcome: &isrdv1.Welcome{
		Protocol:         protocol,
		SessionId:        ss.id,
		Position:         wirePosition(ss.sent),
		ValidityMs:       ss.promise(until),
		AsideBytes:       uint64(c.AsideBytes),    //nolint:gosec // configured, not negative
		MaxEntryBytes:    uint64(c.MaxEntryBytes), //nolint:gosec // configured, not negative
		DaemonVersion:    c.Version,
		DaemonInstance:   c.Instance,
		Leases:           leases,
		Resumed:          resumed,
		WaitLimitMs:      millis(c.WaitLimit),
		FetchWaitLimitMs: millis(c.FetchWaitLimit),
		PingIntervalMs:   millis(pingInterval),
	}}})
	if err != nil {
		return fmt.Errorf("send welcome: %w", err)
	}
	return ss.sendBatch(missed)
}

// resume decides where events go on: after those that the client has applied, if it has applied any and nothing between is
// lost, or from now on.
func (ss *session) resume(ctx context.Context, h *isrdv1.Hello) (missed []*isrdv1.Event, resumed bool, err error) {
	from := position(h.GetResume().GetPosition())
	now, events, ok, err := ss.service.cache.Resume(ctx, h.GetApp(), from)
	if err != nil {
		return nil, false, err
	}
	ss.sent = now
	if h.GetResume() == nil || from == (tag.Position{}) || !ok {
		ss.events.Ack(now) // it has nothing that any event could concern
		return nil, false, nil
	}
	ss.events.Ack(from)
	for _, e := range events {
		missed = append(missed, wireEvent(e))
	}
	return missed, true, nil
}

// promise gives what is left until then as a client is told it, in milliseconds, and has everybody wait for this client
// who must know that it serves nothing old. A client that acknowledges no events gets nothing.
func (ss *session) promise(until time.Time) uint32 {
	left := time.Until(until)
	if left < time.Millisecond || !ss.events.Promise(until) {
		return 0
	}
	return millis(left)
}
