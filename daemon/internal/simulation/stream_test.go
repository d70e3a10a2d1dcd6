package simulation_test

import (
	"context"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/metadata"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

// stream is one session between a client and a daemon: two directions, each in order. It is what the daemon takes for
// gRPC. The fields up to mu belong to the schedule.
type stream struct {
	w      *world
	name   string
	client *client
	life   *life
	is     condition
	ended  bool // for the client
	goes   pipe
	comes  pipe
	open   map[uint64]*asked // what the daemon has to answer

	ctx    context.Context //nolint:containedctx // it is the stream's, as gRPC has it
	cancel context.CancelFunc

	mu      sync.Mutex
	waiting []*isrdv1.SessionRequest
	ready   chan struct{}
	over    bool
	group   int // of frames between which no announcement came: their order is nobody's
}

var _ isrdv1.CacheService_SessionServer = (*stream)(nil)

// newStream is a session that a client opens with a daemon.
func newStream(w *world, name string, c *client, l *life) *stream {
	s := &stream{w: w, name: name, client: c, life: l, open: make(map[uint64]*asked), ready: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	p := pipe{s: w.schedule, delay: w.hop, hung: func() bool { return s.is == hung }}
	s.goes, s.comes = p, p
	l.streams = append(l.streams, s)
	l.sessions.Add(1)
	go s.serve()
	return s
}

// frame is something that the daemon has sent.
type frame struct {
	stream *stream
	group  int
	what   *isrdv1.SessionResponse // nil: the daemon has ended the session
}

func (f *frame) order() string {
	return fmt.Sprintf("f%s %06d %012d", f.stream.name, f.group, f.what.GetId())
}

// take sends the frame on its way.
func (f *frame) take() {
	s := f.stream
	if s.ended {
		return
	}
	if f.what != nil {
		s.w.watch.sent(s, f.what)
	}
	s.comes.lag = s.w.lag(f.what)
	s.comes.put(func() { s.receive(f.what) })
}

func (s *stream) receive(f *isrdv1.SessionResponse) {
	if f == nil {
		s.end()
		return
	}
	s.client.receive(s, f)
}

// change sets how it stands with the stream.
func (s *stream) change(to condition) {
	if s.ended || s.is == to {
		return
	}
	s.w.note("stream", s.name, int(to))
	s.is = to
	switch to {
	case cut:
		s.end()
	case sound:
		s.goes.flush()
		s.comes.flush()
	case hung:
	}
}

// end breaks the stream for both.
func (s *stream) end() {
	if s.ended {
		return
	}
	s.ended = true
	s.goes.end()
	s.comes.end()
	s.close()
	s.client.ended(s)
}

// close ends the stream for the daemon.
func (s *stream) close() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.cancel()
}

// send brings a client's frame to the daemon.
func (s *stream) send(f *isrdv1.SessionRequest) {
	if s.ended {
		return
	}
	s.w.watch.asked(s, f)
	s.goes.put(func() { s.deliver(f) })
}

func (s *stream) deliver(f *isrdv1.SessionRequest) {
	s.mu.Lock()
	s.waiting = append(s.waiting, f)
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Context implements grpc.ServerStream.
func (s *stream) Context() context.Context { return s.ctx }

// Recv implements the stream.
func (s *stream) Recv() (*isrdv1.SessionRequest, error) {
	for {
		s.mu.Lock()
		if len(s.waiting) > 0 && !s.over {
			f := s.waiting[0]
			s.waiting = s.waiting[1:]
			s.mu.Unlock()
			return f, nil
		}
		s.mu.Unlock()
		select {
		case <-s.ready:
		case <-s.ctx.Done():
			return nil, io.EOF
		}
	}
}

// Send implements the stream. There is always room for one more frame.
func (s *stream) Send(f *isrdv1.SessionResponse) error {
	s.mu.Lock()
	over := s.over
	if f.GetId() == 0 {
		s.group++
	}
	next := &frame{stream: s, group: s.group, what: f}
	if f.GetId() == 0 {
		s.group++
	}
	s.mu.Unlock()
	if over {
		return io.ErrClosedPipe
	}
	s.w.arrive(next)
	return nil
}

// serve runs the daemon's side to its end.
func (s *stream) serve() {
	defer s.life.sessions.Done()
	_ = s.life.service.Session(s) // the client sees that it ended
	s.mu.Lock()
	last := &frame{stream: s, group: s.group + 1}
	s.mu.Unlock()
	s.cancel()
	s.w.arrive(last)
}

// The rest of grpc.ServerStream, which the daemon does not use.

func (s *stream) SetHeader(metadata.MD) error  { return nil }
func (s *stream) SendHeader(metadata.MD) error { return nil }
func (s *stream) SetTrailer(metadata.MD)       {}
func (s *stream) SendMsg(any) error            { return nil }
func (s *stream) RecvMsg(any) error            { return nil }
