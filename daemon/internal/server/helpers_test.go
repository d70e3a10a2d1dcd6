package server_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/memstore"
	"github.com/isrd/isrd/daemon/internal/server"
)

const patience = 10 * time.Second

// daemon is a server on a real Unix socket, with the embedded store.
type daemon struct {
	t      testing.TB
	client isrdv1.CacheServiceClient
	conn   *grpc.ClientConn
	stop   context.CancelFunc
	done   chan error
	socket string
	cache  *cache.Cache
	brittle
}

// brittle panics when a lease of the key "/panic" is released, releases none of "/away", and holds the release of "/slow"
// until it is let go.
type brittle struct {
	cache.Store
	entered, goOn chan struct{}
	releases      *atomic.Int64
	renewals      renewals
}

// renewals are what was asked of leases.
type renewals chan renewal

// renewal is one.
type renewal struct {
	key     string
	ttl     time.Duration
	renewed bool
}

// next waits for one.
func (r renewals) next(t *testing.T) renewal {
	t.Helper()
	select {
	case one := <-r:
		return one
	case <-time.After(patience):
		t.Fatal("no lease was renewed")
		return renewal{}
	}
}

// await waits for one with this lifetime.
func (r renewals) await(t *testing.T, want time.Duration) {
	t.Helper()
	for {
		if one := r.next(t); one.renewed && one.ttl == want {
			return
		}
	}
}

// leaseTTL is short, so that a test can wait for a renewal.
const leaseTTL = 3 * time.Second

func (b brittle) Renew(ctx context.Context, k cache.Key, token uint64, ttl time.Duration) (bool, error) {
	renewed, err := b.Store.Renew(ctx, k, token, ttl)
	b.renewals <- renewal{k.Name, ttl, renewed}
	return renewed, err
}

// Read of "/slow-read" is held until it is let go, and goes on although its caller has gone, as a script in Redis does.
func (b brittle) Read(ctx context.Context, k cache.Key, opt cache.ReadOptions) (cache.Reading, error) {
	if k.Name == "/slow-read" {
		select {
		case <-b.goOn:
		default:
			close(b.entered)
			<-b.goOn
		}
		ctx = context.WithoutCancel(ctx)
	}
	return b.Store.Read(ctx, k, opt)
}

func (b brittle) Release(ctx context.Context, k cache.Key, token uint64, opt cache.ReleaseOptions) (bool, error) {
	switch k.Name {
	case "/panic":
		panic("a bug")
	case "/away":
		return false, cache.ErrUnavailable
	case "/slow":
		close(b.entered)
		<-b.goOn
	}
	b.releases.Add(1)
	return b.Store.Release(ctx, k, token, opt)
}

func start(t testing.TB, cfg server.Config) *daemon {
	t.Helper()
	store, err := memstore.New(memstore.Config{MaxBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	h := new(hub.Hub)
	cfg.Hub, cfg.Registerer = h, prometheus.NewRegistry()
	d := &daemon{t: t, done: make(chan error, 1), brittle: brittle{
		Store: store, entered: make(chan struct{}), goOn: make(chan struct{}), releases: new(atomic.Int64), renewals: make(renewals, 1000),
	}}
	cfg.Cache = cache.New(cache.Config{Store: d.brittle, Log: store, Memory: store.Memory(), Embedded: true, Publisher: h, LeaseTTL: leaseTTL, CountReads: cfg.RefreshHot > 0, Registerer: prometheus.NewRegistry(), MaxEntryBytes: 32 << 20})
	d.cache = cfg.Cache
	dir, err := os.MkdirTemp("", "isrd") // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "isrd.sock")
	l, err := server.Listen(t.Context(), "unix", socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.socket = stop, socket
	go func() { d.done <- server.New(cfg).Run(ctx, l) }()
	upkeep := make(chan error, 1)
	go func() { upkeep <- cfg.Cache.Run(ctx) }()
	d.conn, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	d.client = isrdv1.NewCacheServiceClient(d.conn)
	t.Cleanup(func() {
		stop()
		select {
		case err := <-d.done:
			if err != nil {
				t.Errorf("server: %v", err)
			}
		case <-time.After(patience):
			t.Error("the server did not stop")
		}
		if err := errors.Join(<-upkeep, d.conn.Close(), store.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return d
}

// session is one client's stream, with its frames as they come.
type session struct {
	t      testing.TB
	stream isrdv1.CacheService_SessionClient
	frames chan *isrdv1.SessionResponse
	err    error // why frames was closed
	cancel context.CancelFunc
	next   uint64

	sending sync.Mutex
	deaf    atomic.Bool // it acknowledges no events
}

func (d *daemon) dial(hello *isrdv1.Hello) *session {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	d.t.Cleanup(cancel)
	stream, err := d.client.Session(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	s := &session{t: d.t, stream: stream, frames: make(chan *isrdv1.SessionResponse, 4096), cancel: cancel}
	first := &isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Hello{Hello: hello}}
	if hello == nil {
		first = &isrdv1.SessionRequest{Id: 1, Frame: &isrdv1.SessionRequest_Ping{Ping: &isrdv1.Ping{}}}
	}
	s.send(first)
	go func() {
		defer close(s.frames)
		for {
			f, err := stream.Recv()
			if err != nil {
				s.err = err
				return
			}
			s.acknowledge(f)
			s.frames <- f
		}
	}()
	return s
}

// acknowledge says that events were applied, as a client does at once.
func (s *session) acknowledge(f *isrdv1.SessionResponse) {
	var p *isrdv1.Position
	if events := f.GetEvents().GetEvents(); len(events) > 0 {
		p = events[len(events)-1].GetPosition()
	} else if f.GetReset_() != nil {
		p = f.GetReset_().GetPosition()
	}
	if p != nil && !s.deaf.Load() {
		s.sending.Lock()
		defer s.sending.Unlock()
		_ = s.stream.Send(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_EventsAck{EventsAck: &isrdv1.EventsAck{Position: p}}}) // the stream may have ended
	}
}

func hello(app string) *isrdv1.Hello {
	return &isrdv1.Hello{ProtocolMin: 1, ProtocolMax: 9, App: app, Build: &isrdv1.Build{BuildId: "b1"}}
}

// open dials and takes the welcome.
func (d *daemon) open(app string) *session {
	d.t.Helper()
	s := d.dial(hello(app))
	if s.recv().GetWelcome().GetSessionId() == "" {
		d.t.Fatal("the first frame is no welcome")
	}
	// What the welcome says is not said again: loading the log is no reason for a reset.
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Ping{Ping: &isrdv1.Ping{}}})
	if f := s.recv(); f.GetPong() == nil {
		d.t.Fatalf("the second frame is %v", f)
	}
	return s
}

func (s *session) send(f *isrdv1.SessionRequest) {
	s.t.Helper()
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.stream.Send(f); err != nil {
		s.t.Fatal(err)
	}
}

// recv takes the next frame.
func (s *session) recv() *isrdv1.SessionResponse {
	s.t.Helper()
	select {
	case f, ok := <-s.frames:
		if !ok {
			s.t.Fatalf("the session ended: %v", s.err)
		}
		return f
	case <-time.After(patience):
		s.t.Fatal("no frame came")
		return nil
	}
}

// ended waits for the end of the stream and gives its status.
func (s *session) ended() *status.Status {
	s.t.Helper()
	for {
		select {
		case _, ok := <-s.frames:
			if !ok {
				return status.Convert(s.err)
			}
		case <-time.After(patience):
			s.t.Fatal("the session did not end")
		}
	}
}

func (s *session) id() uint64 { s.next++; return s.next }

func route(name string) *isrdv1.Key { return &isrdv1.Key{Space: isrdv1.Space_SPACE_ROUTE, Name: name} }

func (s *session) sendGet(r *isrdv1.GetRequest) uint64 {
	s.t.Helper()
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Get{Get: r}})
	return id
}

// get asks and takes the answer, passing over announcements.
func (s *session) get(r *isrdv1.GetRequest) *isrdv1.GetResponse {
	s.t.Helper()
	return s.answer(s.sendGet(r)).GetGet()
}

func (s *session) answer(id uint64) *isrdv1.SessionResponse {
	s.t.Helper()
	for {
		if f := s.recv(); f.GetId() == id && f.GetWaiting() == nil {
			return f
		}
	}
}

func (s *session) set(k *isrdv1.Key, base *isrdv1.GetResponse, e *isrdv1.Entry) *isrdv1.SetResponse {
	s.t.Helper()
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{
		Key: k, Entry: e, Base: base.GetBase(), LeaseToken: base.GetLease().GetToken(),
	}}})
	return s.answer(id).GetSet()
}

func (s *session) revalidate(tags ...string) *isrdv1.RevalidateResponse {
	s.t.Helper()
	r := new(isrdv1.RevalidateRequest)
	for _, t := range tags {
		r.Revalidations = append(r.Revalidations, &isrdv1.Revalidation{Tag: t})
	}
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Revalidate{Revalidate: r}})
	return s.answer(id).GetRevalidate()
}

func page(html string, tags ...string) *isrdv1.Entry {
	code := uint32(200)
	return &isrdv1.Entry{
		Kind: isrdv1.Kind_KIND_APP_PAGE, Status: &code, Tags: tags,
		Parts:   []*isrdv1.Part{{Name: "html", Data: []byte(html)}, {Name: "rsc", Data: []byte("rsc")}, {Name: "segment:/_full", SameAs: 2}, {Name: "segment:/x"}},
		Headers: []*isrdv1.Header{{Name: "set-cookie", Values: []string{"a=1", "b=2"}, Shape: isrdv1.HeaderShape_HEADER_SHAPE_LIST}},
	}
}
