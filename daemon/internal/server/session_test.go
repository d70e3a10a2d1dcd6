package server_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
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
	for one := r.next(t); !one.renewed || one.ttl != want; one = r.next(t) {
	}
}

func (b brittle) Renew(ctx context.Context, k cache.Key, token uint64, ttl time.Duration) (bool, error) {
	renewed, err := b.Store.Renew(ctx, k, token, ttl)
	b.renewals <- renewal{k.Name, ttl, renewed}
	return renewed, err
}

// leaseTTL is short, so that a test can wait for a renewal.
const leaseTTL = 3 * time.Second

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

func TestWhatOneProcessRendersAnotherIsServed(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	miss := a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	if miss.GetStatus() != isrdv1.Status_STATUS_MISS || miss.GetLease().GetToken() == 0 {
		t.Fatalf("first get: %v", miss)
	}
	if out := a.set(route("/p/1"), miss, page("<p>1</p>", "products")); out.GetOutcome() != isrdv1.Outcome_OUTCOME_ACCEPTED {
		t.Fatalf("set: %v", out)
	}
	hit := b.get(&isrdv1.GetRequest{Key: route("/p/1")})
	e := hit.GetEntry()
	if hit.GetStatus() != isrdv1.Status_STATUS_HIT || string(e.GetParts()[0].GetData()) != "<p>1</p>" || e.GetParts()[2].GetSameAs() != 2 ||
		e.GetParts()[3].GetName() != "segment:/x" || e.GetStatus() != 200 || len(e.GetHeaders()[0].GetValues()) != 2 || e.GetTags()[0] != "products" {
		t.Errorf("the other process got %v", hit)
	}
	// Another app, and another build of the same app, have their own.
	if got := d.open("blog").get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("another app got %v", got)
	}
	next := hello("shop")
	next.Build = &isrdv1.Build{BuildId: "b1", DeploymentId: "d2"}
	s := d.dial(next)
	s.recv()
	if got := s.get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("another deployment got %v", got)
	}
}

func TestParkedGetSaysSoAndIsAnsweredByTheWrite(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	miss := a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1")})
	if f := b.recv(); f.GetId() != id || f.GetWaiting().GetLimitMs() != 10_000 {
		t.Fatalf("want a waiting frame of 10 s, got %v", f)
	}
	a.set(route("/p/1"), miss, page("one"))
	if got := b.answer(id).GetGet(); got.GetStatus() != isrdv1.Status_STATUS_HIT {
		t.Errorf("after the write: %v", got)
	}
}

func TestEndOfASessionFreesItsLeases(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1")})
	b.recv() // waiting
	begin := time.Now()
	a.cancel()
	got := b.answer(id).GetGet()
	if got.GetLease().GetToken() == 0 {
		t.Errorf("got %v, want the lease of the session that ended", got)
	}
	if waited := time.Since(begin); waited > 5*time.Second {
		t.Errorf("granted after %v; that is the TTL, not the end of the session", waited)
	}
}

func TestCancelledGetLeavesNoLease(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	miss := a.get(&isrdv1.GetRequest{Key: route("/p/1")})
	id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1")})
	b.recv() // waiting
	b.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Cancel{Cancel: &isrdv1.Cancel{}}})
	if got := b.answer(id).GetRefusal(); codes.Code(got.GetCode()) != codes.Canceled {
		t.Errorf("the cancelled get was answered by %v", got)
	}
	id = a.id()
	a.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{Key: route("/p/1"), LeaseToken: miss.GetLease().GetToken()}}})
	if !a.answer(id).GetRelease().GetReleased() {
		t.Error("the holder could not release its lease")
	}
	if got := a.get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetLease().GetToken() == 0 {
		t.Errorf("after the release: %v", got)
	}
}

func TestEventsComeBeforeTheAnswersJudgedByThem(t *testing.T) {
	d := start(t, server.Config{})
	a, b := d.open("shop"), d.open("shop")
	for range 200 {
		done := a.revalidate("products")
		if !done.GetFleetWide() {
			t.Fatalf("revalidate: %v", done)
		}
		id := b.sendGet(&isrdv1.GetRequest{Key: route("/p/1"), NoLease: true})
		var seen uint64
		for {
			f := b.recv()
			for _, e := range f.GetEvents().GetEvents() {
				if e.GetPosition().GetSeq() != seen+1 && seen != 0 {
					t.Fatalf("event %d after %d", e.GetPosition().GetSeq(), seen)
				}
				seen = e.GetPosition().GetSeq()
			}
			if f.GetId() == id {
				if asOf := f.GetGet().GetAsOf().GetSeq(); asOf < done.GetPosition().GetSeq() || seen < asOf {
					t.Fatalf("the answer is as of %d; events up to %d came before it, %d was done", asOf, seen, done.GetPosition().GetSeq())
				}
				break
			}
		}
	}
}

func TestLargeBodyTravelsAside(t *testing.T) {
	d := start(t, server.Config{AsideBytes: 1 << 10})
	a := d.open("shop")
	k := &isrdv1.Key{App: "shop", Build: &isrdv1.Build{BuildId: "b1"}, Space: isrdv1.Space_SPACE_ROUTE, Name: "/big"}
	big := strings.Repeat("x", 20<<20)
	miss := a.get(&isrdv1.GetRequest{Key: route("/big")})
	if out, err := d.client.Set(t.Context(), &isrdv1.SetRequest{Key: k, Entry: page(big), Base: miss.GetBase()}); err != nil || out.GetOutcome() != isrdv1.Outcome_OUTCOME_ACCEPTED {
		t.Fatal(out, err)
	}
	told := a.get(&isrdv1.GetRequest{Key: route("/big")})
	if told.GetAside().GetBytes() < 20<<20 || len(told.GetEntry().GetParts()[0].GetData()) != 0 {
		t.Fatalf("a body of 20 MiB came on the session")
	}
	body, err := d.client.Get(t.Context(), &isrdv1.GetRequest{Key: k, BodyOf: told.GetVersion()})
	if err != nil || !bytes.Equal(body.GetEntry().GetParts()[0].GetData(), []byte(big)) {
		t.Errorf("the body beside the session: %v", err)
	}
	gone, err := d.client.Get(t.Context(), &isrdv1.GetRequest{Key: k, BodyOf: &isrdv1.Version{Epoch: 1, Token: 1}})
	if err != nil || gone.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("the body of a version that has gone: %v, %v", gone.GetStatus(), err)
	}
}

func TestWhoIsRefused(t *testing.T) {
	d := start(t, server.Config{Apps: []string{"shop"}, Token: "s3cret"})
	with := func(change func(*isrdv1.Hello)) *isrdv1.Hello {
		h := hello("shop")
		h.Token = "s3cret"
		change(h)
		return h
	}
	tests := []struct {
		name  string
		hello *isrdv1.Hello
		code  codes.Code
		says  string
	}{
		{"wrong token", with(func(h *isrdv1.Hello) { h.Token = "guess" }), codes.Unauthenticated, "ISRD_TOKEN"},
		{"no token", with(func(h *isrdv1.Hello) { h.Token = "" }), codes.Unauthenticated, "ISRD_TOKEN"},
		{"another app", with(func(h *isrdv1.Hello) { h.App = "blog" }), codes.PermissionDenied, "--app"},
		{"no app", with(func(h *isrdv1.Hello) { h.App = "" }), codes.InvalidArgument, "ISRD_APP"},
		{"a protocol of the future", with(func(h *isrdv1.Hello) { h.ProtocolMin = 2 }), codes.FailedPrecondition, "upgrade"},
		{"no hello", nil, codes.FailedPrecondition, "hello"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := d.dial(test.hello)
			got := s.ended()
			if got.Code() != test.code || !strings.Contains(got.Message(), test.says) {
				t.Errorf("got %v: %s", got.Code(), got.Message())
			}
		})
	}
	if _, err := d.client.Get(t.Context(), &isrdv1.GetRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a unary call without a token: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer s3cret")
	if _, err := d.client.Get(ctx, &isrdv1.GetRequest{Key: &isrdv1.Key{App: "blog", Space: isrdv1.Space_SPACE_FETCH, Name: "x"}}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a unary call for another app: %v", err)
	}
}

func TestBadRequestIsRefusedAndTheSessionLives(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	bad := []*isrdv1.SessionRequest{
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{}}},
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: &isrdv1.Key{Name: "/x"}}}},
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: &isrdv1.Key{App: "blog", Space: 1, Name: "/x"}}}},
		{Frame: &isrdv1.SessionRequest_Get{Get: &isrdv1.GetRequest{Key: &isrdv1.Key{Space: -300, Name: "/x"}}}},
		{Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{Key: route("/x")}}},
		{Frame: &isrdv1.SessionRequest_Set{Set: &isrdv1.SetRequest{Key: route("/x"), Entry: &isrdv1.Entry{Kind: 1, Parts: []*isrdv1.Part{{SameAs: 1}}}}}},
		{Frame: &isrdv1.SessionRequest_Revalidate{Revalidate: &isrdv1.RevalidateRequest{Revalidations: []*isrdv1.Revalidation{{}}}}},
		{Frame: &isrdv1.SessionRequest_Revalidate{Revalidate: &isrdv1.RevalidateRequest{App: "blog"}}},
	}
	for _, f := range bad {
		f.Id = s.id()
		s.send(f)
		if got := s.answer(f.GetId()).GetRefusal(); got.GetMessage() == "" {
			t.Errorf("%v was not refused", f)
		}
	}
	s.send(&isrdv1.SessionRequest{Id: s.id()}) // a frame that this daemon does not know
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Ping{Ping: &isrdv1.Ping{}}})
	if s.answer(id).GetPong() == nil {
		t.Error("the session is dead")
	}
}

func TestPanicIsRefusedAndTheDaemonLives(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	id := s.id()
	s.send(&isrdv1.SessionRequest{Id: id, Frame: &isrdv1.SessionRequest_Release{Release: &isrdv1.ReleaseRequest{Key: route("/panic"), LeaseToken: 1}}})
	if got := s.answer(id).GetRefusal(); codes.Code(got.GetCode()) != codes.Internal || strings.Contains(got.GetMessage(), "a bug") {
		t.Errorf("on the session: %v", got)
	}
	k := &isrdv1.Key{App: "shop", Space: isrdv1.Space_SPACE_ROUTE, Name: "/panic"}
	if _, err := d.client.Release(t.Context(), &isrdv1.ReleaseRequest{Key: k, LeaseToken: 1}); status.Code(err) != codes.Internal {
		t.Errorf("unary: %v", err)
	}
	if got := s.get(&isrdv1.GetRequest{Key: route("/p/1")}); got.GetStatus() != isrdv1.Status_STATUS_MISS {
		t.Errorf("afterwards: %v", got)
	}
}

func TestStoppingDaemonTellsItsSessionsToGoAway(t *testing.T) {
	d := start(t, server.Config{})
	s := d.open("shop")
	d.stop()
	var told bool
	for f := range s.frames {
		told = told || f.GetGoAway() != nil
	}
	if !told {
		t.Errorf("the session ended without a go-away: %v", s.err)
	}
	select {
	case err := <-d.done:
		d.done <- err
	case <-time.After(patience):
		t.Error("the server did not stop")
	}
}

func TestWhatACallMayNameIsBounded(t *testing.T) {
	d := start(t, server.Config{})
	many := make([]string, 2000)
	long := strings.Repeat("a", 8<<10)
	get := func(k *isrdv1.Key, soft ...string) error {
		_, err := d.client.Get(t.Context(), &isrdv1.GetRequest{Key: k, SoftTags: soft, NoLease: true})
		return err
	}
	app, build := besides(route("/p")), besides(route("/p"))
	app.App, build.Build.DeploymentId = long, long
	marks := make([]*isrdv1.Revalidation, 5000)
	for i := range marks {
		marks[i] = &isrdv1.Revalidation{Tag: "t"}
	}
	_, tooMany := d.client.Revalidate(t.Context(), &isrdv1.RevalidateRequest{App: "shop", Revalidations: marks})
	_, noBase := d.client.Set(t.Context(), &isrdv1.SetRequest{Key: besides(route("/p")), Entry: page("x")})
	for what, err := range map[string]error{
		"2000 soft tags": get(besides(route("/p")), many...), "a long soft tag": get(besides(route("/p")), long),
		"a long app": get(app), "a long build": get(build), "5000 marks": tooMany, "a set without a base": noBase,
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
}
