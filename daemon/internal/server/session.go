package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/tag"
)

const (
	// protocol is the newest version of the envelope that this daemon speaks, and the oldest.
	protocol = 1
	// helloLimit is how long a new stream may take to say hello.
	helloLimit = 10 * time.Second
	// maxOpen bounds the requests of one session that are under way.
	maxOpen = 4096
	// maxBehind bounds the events that a session may fall behind; then it gets one reset.
	maxBehind = 1024
	// pingInterval is how often clients are asked to ping: some pings may be late within cache.Bound.
	pingInterval = cache.Bound / 4
	// maxBatch is the size in bytes at which events are sent in a further frame.
	maxBatch = 1 << 20
	// releaseLimit bounds the release of what a session that ended still held.
	releaseLimit = 5 * time.Second
	// resumeLimit is for how long the leases of a session are kept when the daemon stops: its client claims them at the
	// next one.
	resumeLimit = 5 * time.Second
)

// session is one stream of one Next.js process.
type session struct {
	service *cacheService
	stream  isrdv1.CacheService_SessionServer
	id      string
	who     caller
	log     *slog.Logger

	out    chan *isrdv1.SessionResponse
	events *hub.Subscription
	sent   tag.Position   // the writer's: what the client was told up to
	stops  bool           // the writer's: the daemon stops, the client lives on
	done   sync.WaitGroup // the requests under way

	mu     sync.Mutex
	closed bool                          // no further request begins
	cancel map[uint64]context.CancelFunc // by the id of the request
	leases leases
	jobs   jobs

	gone chan struct{} // closed when the process can be asked for nothing more
}

// Session implements CacheService.
func (s *cacheService) Session(stream isrdv1.CacheService_SessionServer) error {
	hello, err := s.greet(stream)
	if err != nil {
		return statusOf(err).Err()
	}
	id := newID()
	ss := &session{
		service: s,
		stream:  stream,
		id:      id,
		who:     caller{app: hello.GetApp(), build: buildScope(hello.GetBuild()), holder: id},
		log:     s.log.With(slog.String("session", id), slog.String("app", hello.GetApp()), slog.String("instance", hello.GetInstance())),
		out:     make(chan *isrdv1.SessionResponse, 256),
		events:  s.hub.Subscribe(hello.GetApp(), maxBehind),
		cancel:  make(map[uint64]context.CancelFunc),
		gone:    make(chan struct{}),
	}
	defer ss.events.Close()
	s.sessions.add(ss)
	defer s.sessions.remove(ss)
	s.metrics.sessions.WithLabelValues(hello.GetApp()).Inc()
	defer s.metrics.sessions.WithLabelValues(hello.GetApp()).Dec()
	ss.log.Info("session opened", slog.String("client", hello.GetClientVersion()), slog.String("next", hello.GetNextVersion()))
	err = ss.run(hello)
	ss.log.Info("session ended", slog.Any("cause", err))
	return statusOf(err).Err()
}

// run serves the stream until it breaks, the client ends it or the daemon stops, and leaves nothing behind.
func (ss *session) run(hello *isrdv1.Hello) error {
	ctx, cancel := context.WithCancelCause(ss.stream.Context())
	defer cancel(nil)
	if err := ss.welcome(ctx, hello); err != nil {
		return err
	}
	var writer sync.WaitGroup
	writer.Go(func() { cancel(ss.guard(ctx, ss.write)) })
	writer.Go(func() { ss.renewLeases(ctx) })
	go func() { cancel(ss.read(ctx)) }() // ends with the stream: Recv returns when this handler has
	leave := ss.offer(hello)
	<-ctx.Done()
	leave()
	close(ss.gone)
	err := context.Cause(ctx)
	writer.Wait()
	ss.close()
	ss.endLeases()
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// push queues a frame; it gives up when the session ends.
func (ss *session) push(ctx context.Context, f *isrdv1.SessionResponse) {
	select {
	case ss.out <- f:
	case <-ctx.Done():
	}
}

// write sends frames and events until ctx ends. It is the only sender.
func (ss *session) write(ctx context.Context) error {
	for {
		var frame *isrdv1.SessionResponse
		select {
		case frame = <-ss.out:
		case <-ss.events.Ready():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		// Events first: an answer may not say as_of before the events up to it were sent. They were published before
		// the answer was judged, so they are here by now.
		open, err := ss.sendEvents()
		if err != nil {
			return err
		}
		if frame != nil {
			if err := ss.stream.Send(frame); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
		if !open {
			return ss.goAway(ctx)
		}
	}
}

func (ss *session) sendEvents() (open bool, err error) {
	messages, open := ss.events.Take()
	var batch []*isrdv1.Event
	for _, m := range messages {
		if !ss.sent.Before(m.Event.Position) { // it came between the subscription and the welcome, and is in that
			continue
		}
		ss.sent = m.Event.Position
		if m.Reset != "" {
			ss.service.metrics.resets.Inc()
			reset := &isrdv1.Reset{Position: wirePosition(m.Event.Position), Reason: m.Reset}
			if err := ss.stream.Send(&isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Reset_{Reset_: reset}}); err != nil {
				return open, fmt.Errorf("send reset: %w", err)
			}
			continue
		}
		batch = append(batch, wireEvent(m.Event))
	}
	return open, ss.sendBatch(batch)
}

func (ss *session) sendBatch(batch []*isrdv1.Event) error {
	for _, events := range inFrames(batch) {
		err := ss.stream.Send(&isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_Events{Events: &isrdv1.Events{Events: events}}})
		if err != nil {
			return fmt.Errorf("send events: %w", err)
		}
	}
	return nil
}

// inFrames divides events, in their order, so that no frame grows beyond maxBatch by more than one event.
func inFrames(events []*isrdv1.Event) [][]*isrdv1.Event {
	var frames [][]*isrdv1.Event
	size := maxBatch + 1 // the first event begins a frame
	for _, e := range events {
		if size > maxBatch {
			frames, size = append(frames, nil), 0
		}
		last := len(frames) - 1
		frames[last] = append(frames[last], e)
		size += proto.Size(e)
	}
	return frames
}

// goAway tells the client to come back to the next daemon, and answers what it has asked before. The stop of the server
// bounds it.
func (ss *session) goAway(ctx context.Context) error {
	ss.stops = true
	err := ss.stream.Send(&isrdv1.SessionResponse{Frame: &isrdv1.SessionResponse_GoAway{GoAway: &isrdv1.GoAway{Reason: "the daemon stops"}}})
	if err != nil {
		return fmt.Errorf("send go-away: %w", err)
	}
	answered := make(chan struct{})
	go func() {
		ss.close()
		close(answered)
	}()
	for {
		select {
		case frame := <-ss.out:
			if err := ss.stream.Send(frame); err != nil {
				return fmt.Errorf("send: %w", err)
			}
		case <-answered:
			if len(ss.out) == 0 { // the requests have ended, so nobody adds to it
				return status.Error(codes.Unavailable, "the daemon stops")
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
