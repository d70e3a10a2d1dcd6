package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

// read takes the client's frames until the stream ends. Requests are answered by goroutines of their own, which end
// with ctx; unknown frames are ignored.
func (ss *session) read(ctx context.Context) error {
	for {
		f, err := ss.stream.Recv()
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		switch frame := f.GetFrame().(type) {
		case *isrdv1.SessionRequest_Get:
			ss.start(ctx, f.GetId(), func(ctx context.Context) (*isrdv1.SessionResponse, error) { return ss.get(ctx, f.GetId(), frame.Get) })
		case *isrdv1.SessionRequest_Set:
			ss.start(ctx, f.GetId(), func(ctx context.Context) (*isrdv1.SessionResponse, error) { return ss.set(ctx, frame.Set) })
		case *isrdv1.SessionRequest_Release:
			ss.start(ctx, f.GetId(), func(ctx context.Context) (*isrdv1.SessionResponse, error) { return ss.release(ctx, frame.Release) })
		case *isrdv1.SessionRequest_Revalidate:
			ss.start(ctx, f.GetId(), func(ctx context.Context) (*isrdv1.SessionResponse, error) {
				return ss.revalidate(ctx, frame.Revalidate)
			})
		case *isrdv1.SessionRequest_Ping:
			ss.start(ctx, f.GetId(), ss.pong)
		case *isrdv1.SessionRequest_EventsAck:
			ss.events.Ack(position(frame.EventsAck.GetPosition()))
		case *isrdv1.SessionRequest_JobResult:
			ss.answered(f.GetId(), frame.JobResult)
		case *isrdv1.SessionRequest_Cancel:
			ss.cancelRequest(ctx, f.GetId())
		}
	}
}

// start answers one request, unless too many are open or the id is taken.
func (ss *session) start(session context.Context, id uint64, answer func(context.Context) (*isrdv1.SessionResponse, error)) {
	ctx, cancel := context.WithCancel(session)
	if err := ss.register(id, cancel); err != nil {
		cancel()
		ss.push(session, refusal(id, err))
		return
	}
	go func() {
		defer ss.done.Done()
		defer cancel()
		var out *isrdv1.SessionResponse
		err := ss.guard(ctx, func(ctx context.Context) (err error) {
			out, err = answer(ctx)
			return err
		})
		ss.unregister(id)
		if ctx.Err() != nil { // from here on a cancellation finds the id closed, and takes the lease back itself
			ss.giveBack(session, id)
		}
		if err != nil {
			out = refusal(id, err)
		}
		out.Id = id
		ss.push(session, out)
	}()
}

// guard turns a panic into an error, as the interceptor does for unary calls: it sees only the stream's own goroutine.
func (ss *session) guard(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = ss.service.config.recovered(ctx, p)
		}
	}()
	return f(ctx)
}

// register takes the id and counts the request as under way, which done.Wait then waits for.
func (ss *session) register(id uint64, cancel context.CancelFunc) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case ss.closed:
		return status.Error(codes.Unavailable, "the session has ended")
	case id == 0:
		return status.Error(codes.InvalidArgument, "a request needs an id other than 0")
	case ss.cancel[id] != nil:
		return status.Errorf(codes.InvalidArgument, "id %d belongs to a request that is still open", id)
	case len(ss.cancel) >= maxOpen:
		return status.Errorf(codes.ResourceExhausted, "%d requests are open; wait for answers first", maxOpen)
	}
	ss.cancel[id] = cancel
	ss.done.Add(1)
	return nil
}

// close lets no further request begin and waits for those under way.
func (ss *session) close() {
	ss.mu.Lock()
	ss.closed = true
	ss.mu.Unlock()
	ss.done.Wait()
}

func (ss *session) unregister(id uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.cancel, id)
}

// cancelRequest ends a request, or, if it was answered already, takes back the lease that it was answered with.
func (ss *session) cancelRequest(ctx context.Context, id uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if cancel := ss.cancel[id]; cancel != nil {
		cancel()
		return
	}
	if !ss.closed {
		ss.done.Go(func() { ss.giveBack(ctx, id) })
	}
}

func refusal(id uint64, err error) *isrdv1.SessionResponse {
	s := statusOf(err)
	return &isrdv1.SessionResponse{Id: id, Frame: &isrdv1.SessionResponse_Refusal{
		Refusal: &isrdv1.Refusal{Code: uint32(s.Code()), Message: s.Message()},
	}}
}

func (ss *session) get(ctx context.Context, id uint64, r *isrdv1.GetRequest) (*isrdv1.SessionResponse, error) {
	parked := func(limit time.Duration) {
		ss.push(ctx, &isrdv1.SessionResponse{Id: id, Frame: &isrdv1.SessionResponse_Waiting{Waiting: &isrdv1.Waiting{LimitMs: millis(limit)}}})
	}
	out, err := ss.service.get(ctx, ss.who, r, ss.service.config.AsideBytes, parked)
	if err != nil {
		return nil, err
	}
	return &isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Get{Get: out}}, ss.keep(id, r.GetKey(), out.GetLease())
}

func (ss *session) set(ctx context.Context, r *isrdv1.SetRequest) (*isrdv1.SessionResponse, error) {
	// An acknowledged write outlives the session; only the acknowledgement can be cancelled.
	out, err := ss.store(context.WithoutCancel(ctx), ss.who, r)
	if err != nil {
		return nil, err
	}
	return &isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Set{Set: out}}, nil
}

// store is a set of the session's process, through the session or beside it: it may end a lease of the session, and belong
// to its jobs.
func (ss *session) store(ctx context.Context, who caller, r *isrdv1.SetRequest) (*isrdv1.SetResponse, error) {
	if ss.working() {
		r.Durable = true // it may be the write that ends a job, which then is in the store
	}
	if r.GetBuiltAtMs() == 0 { // with build output that is refused, the lease goes on
		ss.use(r.GetKey(), r.GetLeaseToken())
	}
	out, err := ss.service.set(ctx, who, r)
	if err != nil {
		return nil, err
	}
	ss.wrote(r, out)
	if endsLease(r, out.GetOutcome()) {
		ss.forget(r.GetKey(), r.GetLeaseToken())
	}
	return out, nil
}

// endsLease reports whether the lease of a set is over. Without the store's word it may still be there; and what a build
// has rendered ends it only by being stored, or because something else was.
func endsLease(r *isrdv1.SetRequest, outcome isrdv1.Outcome) bool {
	if r.GetBuiltAtMs() != 0 {
		return outcome == isrdv1.Outcome_OUTCOME_ACCEPTED || outcome == isrdv1.Outcome_OUTCOME_REFUSED_OLDER
	}
	return outcome != isrdv1.Outcome_OUTCOME_LOCAL_ONLY
}

func (ss *session) release(ctx context.Context, r *isrdv1.ReleaseRequest) (*isrdv1.SessionResponse, error) {
	ss.use(r.GetKey(), r.GetLeaseToken())
	out, err := ss.service.release(ctx, ss.who, r)
	if err != nil {
		return nil, err
	}
	ss.forget(r.GetKey(), r.GetLeaseToken())
	return &isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Release{Release: out}}, nil
}

func (ss *session) revalidate(ctx context.Context, r *isrdv1.RevalidateRequest) (*isrdv1.SessionResponse, error) {
	out, err := ss.service.revalidate(ctx, ss.who, r)
	if err != nil {
		return nil, err
	}
	return &isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Revalidate{Revalidate: out}}, nil
}

func (ss *session) pong(ctx context.Context) (*isrdv1.SessionResponse, error) {
	until, err := ss.service.cache.Vouched(ctx, ss.who.app)
	if err != nil {
		return nil, err
	}
	p, err := ss.service.cache.Position(ctx, ss.who.app)
	if err != nil {
		return nil, err
	}
	pong := &isrdv1.Pong{ValidityMs: ss.promise(until), Position: wirePosition(p)}
	return &isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Pong{Pong: pong}}, nil
}
