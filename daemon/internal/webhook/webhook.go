package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"github.com/isrd/isrd/daemon/internal/queue"
)

// Revalidator does what the webhooks ask for.
type Revalidator interface {
	// Revalidate revalidates tags, then queues paths, and gives the ids of the jobs, and whether the tags were revalidated
	// everywhere. Errors wrap queue.ErrRequest, queue.ErrPath, queue.ErrFull, queue.ErrUnavailable or cache.ErrUnavailable.
	Revalidate(ctx context.Context, app string, paths, tags []string) (jobs []string, fleetWide bool, err error)
}

// Jobs tells what becomes of jobs; queue.Jobs is one.
type Jobs interface {
	// Get returns the jobs that are known.
	Get(ctx context.Context, app string, ids []string) ([]queue.Job, error)
	// Listen is as in queue.Jobs.
	Listen(app string, kind queue.Kind) (<-chan struct{}, func())
}

// Config of a Hook. Revalidator and Jobs must be given; the zero value of every other field works.
type Config struct {
	// Revalidator does what is asked for.
	Revalidator Revalidator
	// Jobs is asked by those who wait.
	Jobs Jobs
	// Apps is the allow-list of apps; empty: every app.
	Apps []string
	// Secrets that requests may be signed with. With no secret and no token nobody is asked.
	Secrets []string
	// Tokens that requests may show.
	Tokens []string
	// Map says how payloads of others are read; nil: there are no others.
	Map *Map
	// Window is how old the signature of a request may be, and how far ahead its clock. Default 5 min.
	Window time.Duration
	// MaxBytes bounds a body. Default 1 MiB.
	MaxBytes int64
	// Rate bounds the requests that are taken in a second, twice as many in a burst. Default 100.
	Rate float64
	// HeaderTimeout is how long the header of a request may take. Default 5 s.
	HeaderTimeout time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Logger for what an operator must know.
	Logger *slog.Logger
	// Registerer of the metrics.
	Registerer prometheus.Registerer
}

// What a daemon gives to webhooks at most.
const (
	maxConns   = 1024
	maxHeader  = 16 << 10
	readLimit  = 15 * time.Second // of a whole request
	maxWait    = time.Minute      // of ?wait
	maxWaiters = 256
	stopLimit  = time.Second
)

// Hook is safe for concurrent use.
type Hook struct {
	config     Config
	apps       map[string]bool
	own        auth // of requests that come from no source of the map
	sources    map[string]*source
	limits     *limits
	deliveries *deliveries
	good       *rate.Limiter
	warnings   *rate.Limiter // of strangers, in the log
	waiters    chan struct{}
	log        *slog.Logger
	metrics    *metrics
}

// New returns a Hook that does not listen.
func New(cfg Config) *Hook {
	cfg.Window = cmp.Or(cfg.Window, 5*time.Minute)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 1<<20)
	cfg.Rate = cmp.Or(cfg.Rate, 100)
	cfg.HeaderTimeout = cmp.Or(cfg.HeaderTimeout, 5*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &Hook{
		config: cfg, own: ownAuth(cfg.Secrets, cfg.Tokens), limits: newLimits(cfg.MaxBytes), deliveries: newDeliveries(),
		good:     rate.NewLimiter(rate.Limit(cfg.Rate), max(int(2*cfg.Rate), 1)),
		warnings: rate.NewLimiter(1, 10), waiters: make(chan struct{}, maxWaiters), log: cfg.Logger, metrics: newMetrics(cfg.Registerer),
	}
	if len(cfg.Apps) > 0 {
		h.apps = make(map[string]bool, len(cfg.Apps))
		for _, a := range cfg.Apps {
			h.apps[a] = true
		}
	}
	if cfg.Map != nil {
		h.sources = cfg.Map.sources
	}
	return h
}

// Run serves requests on l until ctx ends, and closes it. Requests that wait for jobs are then answered at once; the others
// have a second to finish.
func (h *Hook) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           h.Handler(ctx.Done()),
		ReadHeaderTimeout: h.config.HeaderTimeout, ReadTimeout: readLimit, WriteTimeout: readLimit + maxWait + stopLimit,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		stopped <- srv.Shutdown(ctx)
	})
	err := srv.Serve(netutil.LimitListener(l, maxConns))
	if !stop() {
		err = errors.Join(err, <-stopped)
	}
	err = errors.Join(err, srv.Close())
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve webhooks on %v: %w", l.Addr(), err)
}

// Handler serves the requests. Those that wait for jobs are answered when stops is closed.
func (h *Hook) Handler(stops <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, stops) })
}
