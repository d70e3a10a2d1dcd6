package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/metadata"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/queue"
)

// Config of a Server. Cache and Hub must be given; the zero value of every other field works.
type Config struct {
	// Cache answers the calls.
	Cache *cache.Cache
	// Hub gives the sessions their events; closing it ends them.
	Hub *hub.Hub
	// Lister names entries. Nil: nobody can.
	Lister cache.Lister
	// Workers gets the processes that offer to regenerate pages; nil: none does.
	Workers Workers
	// Jobs is the queue of regenerations; nil: the daemon has none.
	Jobs queue.Jobs
	// RefreshHot is how many of the most-read pages that a revalidated tag affects are regenerated at once.
	RefreshHot int
	// Apps is the allow-list of apps; empty: every app.
	Apps []string
	// Token must be shown by callers; empty: nobody is asked.
	Token string
	// MaxMessageBytes bounds one message, both ways. Default 64 MiB.
	MaxMessageBytes int
	// MaxEntryBytes is told to clients, which then do not send what would be refused.
	MaxEntryBytes int
	// AsideBytes is the size of a body above which it does not travel on the session. Default 256 KiB.
	AsideBytes int
	// WaitLimit and FetchWaitLimit are told to clients.
	WaitLimit, FetchWaitLimit time.Duration
	// LeaseMax is for how long from its grant a session's lease is renewed. Default 120 s.
	LeaseMax time.Duration
	// ShutdownTimeout bounds the graceful stop. Default 5 s.
	ShutdownTimeout time.Duration
	// Version and Instance are told to clients, for people.
	Version, Instance string
	// Logger for what an operator must know.
	Logger *slog.Logger
	// Registerer of the metrics.
	Registerer prometheus.Registerer
}

// authorize compares a token in the request's metadata ("authorization: Bearer …"), or the one given, with the daemon's.
func (c Config) authorize(ctx context.Context, token string) error {
	if c.Token == "" {
		return nil
	}
	if bearer, ok := strings.CutPrefix(metadata.ExtractIncoming(ctx).Get("authorization"), "Bearer "); ok {
		token = bearer
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(c.Token)) != 1 {
		return status.Error(codes.Unauthenticated, "the token is wrong or missing; set ISRD_TOKEN to the value that the daemon was started with")
	}
	return nil
}

// recovered logs a panic and gives what the caller is told of it.
func (c Config) recovered(ctx context.Context, p any) error {
	c.Logger.ErrorContext(ctx, "panic in a call", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	return status.Error(codes.Internal, "internal error; the daemon's log has the details")
}

// newID returns a name that is unique among sessions.
func newID() string { return rand.Text()[:16] }

// Server serves gRPC on any number of listeners.
type Server struct {
	config Config
	grpc   *grpc.Server
	health *health.Server
	stops  chan struct{} // closed when the server begins to stop
	log    *slog.Logger

	revalidation *revalidationService // nil: there is no queue
}

// Workers gives processes something to do; worker.Worker is one.
type Workers interface {
	// Join adds a process until leave is called.
	Join(o queue.Offer, p queue.Process) (leave func())
}

func (c Config) withDefaults() Config {
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, 64<<20)
	c.AsideBytes = cmp.Or(c.AsideBytes, 256<<10)
	c.LeaseMax = cmp.Or(c.LeaseMax, 120*time.Second)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 5*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// New builds the gRPC server with its services: isrd.v1.CacheService, AdminService, RevalidationService if there is a queue,
// health and reflection.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{config: cfg, health: health.NewServer(), stops: make(chan struct{}), log: cfg.Logger}
	s.grpc = grpc.NewServer(s.options()...)
	isrdv1.RegisterCacheServiceServer(s.grpc, NewService(cfg))
	isrdv1.RegisterAdminServiceServer(s.grpc, &adminService{
		calls: calls{cache: cfg.Cache, apps: allowList(cfg.Apps)}, lister: cfg.Lister, config: cfg,
	})
	if cfg.Jobs != nil {
		s.revalidation = newRevalidationService(cfg, s.stops)
		isrdv1.RegisterRevalidationServiceServer(s.grpc, s.revalidation)
	}
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s
}

// NewService gives the service that a Server serves, without a server: for streams of another making.
func NewService(cfg Config) isrdv1.CacheServiceServer {
	cfg = cfg.withDefaults()
	return &cacheService{
		calls:   calls{cache: cfg.Cache, apps: allowList(cfg.Apps)},
		hub:     cfg.Hub,
		config:  cfg,
		metrics: newMetrics(cfg.Registerer),
		log:     cfg.Logger,
	}
}

func allowList(apps []string) map[string]bool {
	if len(apps) == 0 {
		return nil
	}
	list := make(map[string]bool, len(apps))
	for _, a := range apps {
		list[a] = true
	}
	return list
}

// window is the HTTP/2 flow-control window: a large page must not wait for window updates.
const window = 4 << 20

// options puts the interceptors in order: metrics see everything, logging sees what recovery made of a panic.
func (s *Server) options() []grpc.ServerOption {
	prom := grpcprom.NewServerMetrics()
	if s.config.Registerer != nil {
		s.config.Registerer.MustRegister(prom)
	}
	logger := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		s.log.Log(ctx, slog.Level(level), msg, fields...) //nolint:sloglint // the interceptor's messages are constants
	})
	logOptions := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithLevels(levelOf),
	}
	recovered := recovery.WithRecoveryHandlerContext(s.config.recovered)
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(s.config.MaxMessageBytes),
		grpc.MaxSendMsgSize(s.config.MaxMessageBytes),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		// A half-open TCP connection would keep the leases of a dead process.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(
			prom.UnaryServerInterceptor(),
			logging.UnaryServerInterceptor(logger, logOptions...),
			s.authorizeUnary,
			recovery.UnaryServerInterceptor(recovered),
		),
		grpc.ChainStreamInterceptor(
			prom.StreamServerInterceptor(),
			logging.StreamServerInterceptor(logger, logOptions...),
			recovery.StreamServerInterceptor(recovered),
		),
	}
}

// levelOf keeps requests out of the log unless the daemon itself is at fault; a request is never Info.
func levelOf(code codes.Code) logging.Level {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return logging.LevelError
	case codes.Unauthenticated, codes.PermissionDenied, codes.ResourceExhausted, codes.FailedPrecondition:
		return logging.LevelWarn
	default:
		return logging.LevelDebug
	}
}

// authorizeUnary guards the unary calls. A session shows its token in the hello. Health is open: a probe has no secret.
func (s *Server) authorizeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !strings.HasPrefix(info.FullMethod, "/"+healthv1.Health_ServiceDesc.ServiceName+"/") {
		if err := s.config.authorize(ctx, ""); err != nil {
			return nil, err
		}
	}
	return handler(ctx, req)
}

// Run serves the listeners until ctx ends, and closes them. The stop is graceful and bounded: health turns to not
// serving, the sessions are told to go away, calls under way may finish, and then everything is cut.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- s.grpc.Serve(l) }()
	}
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	s.health.SetServingStatus(isrdv1.CacheService_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	var err error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case err = <-failed:
		running--
	}
	s.stop()
	for range running {
		err = errors.Join(err, <-failed)
	}
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}

// stop closes the hub first: GracefulStop does not return while a session is open.
func (s *Server) stop() {
	s.health.Shutdown()
	close(s.stops)
	s.config.Hub.Close()
	graceful := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(graceful)
	}()
	timer := time.NewTimer(s.config.ShutdownTimeout)
	defer timer.Stop()
	select {
	case <-graceful:
	case <-timer.C:
		s.log.Warn("calls are still under way; cutting them", slog.Duration("after", s.config.ShutdownTimeout))
		s.grpc.Stop()
		<-graceful
	}
}
