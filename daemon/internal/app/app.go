// Package app builds the daemon from its configuration: which parts there are, what they are given, and in which order
// they start and stop.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/codec"
	"github.com/isrd/isrd/daemon/internal/config"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/memstore"
	"github.com/isrd/isrd/daemon/internal/outbox"
	"github.com/isrd/isrd/daemon/internal/queue"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/server"
	"github.com/isrd/isrd/daemon/internal/worker"
)

// App is a daemon that was built and not started.
type App struct {
	config    config.Config
	log       *slog.Logger
	registry  *prometheus.Registry
	store     store
	cache     *cache.Cache
	queue     jobs
	worker    *worker.Worker
	server    *server.Server
	listeners []net.Listener
	http      []endpoint
	webhooks  *hook // nil: there is no endpoint
	ready     atomic.Bool
}

// store is what both stores have in common.
type store interface {
	cache.Store
	cache.Log
	cache.Lister
	Run(ctx context.Context) error
	Close() error
}

// jobs is what both queues have in common.
type jobs interface {
	queue.Jobs
	queue.Work
}

// New builds a daemon and opens its listeners; version is what it calls itself. Nothing runs until Run does.
func New(ctx context.Context, cfg config.Config, version string, log *slog.Logger) (*App, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &App{config: cfg, log: log, registry: prometheus.NewRegistry()}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(version))
	memory, err := a.openStore()
	if err != nil {
		return nil, err
	}
	owed, err := a.openOutbox()
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	h := new(hub.Hub)
	a.cache = cache.New(cache.Config{
		Outbox: owed, Store: a.store, Log: a.store, Memory: memory, Embedded: cfg.Redis == "", Publisher: h,
		LeaseTTL: cfg.LeaseTTL, WaitLimit: cfg.WaitLimit, FetchWaitLimit: cfg.FetchWaitLimit,
		MaxOutageAge: cfg.MaxOutageAge, MaxEntryBytes: int(cfg.MaxEntryBytes), CountReads: cfg.RefreshHot > 0,
		Logger: log, Registerer: a.registry,
	})
	a.worker = a.newWorker()
	a.server = server.New(server.Config{
		Cache: a.cache, Hub: h, Lister: a.store, Workers: a.worker, Jobs: a.queue, RefreshHot: cfg.RefreshHot, Apps: cfg.Apps, Token: cfg.Token,
		MaxEntryBytes: int(cfg.MaxEntryBytes), WaitLimit: cfg.WaitLimit, FetchWaitLimit: cfg.FetchWaitLimit,
		LeaseMax: cfg.LeaseMax, ShutdownTimeout: cfg.ShutdownTimeout, Version: version, Instance: cfg.Instance, Logger: log, Registerer: a.registry,
	})
	if err := errors.Join(a.listen(ctx), a.listenForWebhooks(ctx)); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *App) newWorker() *worker.Worker {
	return worker.New(worker.Config{
		Queue: a.queue, Mode: worker.Mode(a.config.Worker), Ordinal: a.config.Ordinal,
		Position: func(ctx context.Context, app string) (epoch, seq uint64, err error) {
			p, err := a.cache.Position(ctx, app)
			return p.Epoch, p.Seq, err
		},
		Concurrency: a.config.WorkerConcurrency, Rate: a.config.WorkerRate, Timeout: a.config.WorkerTimeout,
		Drain: a.config.ShutdownTimeout / 2, Instance: a.config.Instance, Logger: a.log, Registerer: a.registry,
	})
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "isrd_build_info", Help: "Which isrd this is.", ConstLabels: prometheus.Labels{"version": version},
	})
	g.Set(1)
	return g
}

// openStore chooses the store, and gives the memory that reads are answered from.
func (a *App) openStore() (*cache.Memory, error) {
	if a.config.Redis == "" {
		s, err := memstore.New(memstore.Config{MaxBytes: int64(a.config.L1Bytes)})
		if err != nil {
			return nil, fmt.Errorf("open the embedded store: %w", err)
		}
		a.store, a.queue = s, queue.NewMemory(queue.Config{Max: a.config.QueueMax})
		return s.Memory(), nil
	}
	method, err := codec.Parse(a.config.Codec)
	if err != nil {
		return nil, fmt.Errorf("--codec: %w", err)
	}
	coder, err := codec.New(codec.Config{Codec: method, GzipLevel: a.config.GzipLevel})
	if err != nil {
		return nil, fmt.Errorf("--codec: %w", err)
	}
	s, err := redisstore.New(redisstore.Config{
		URL: a.config.Redis, Prefix: a.config.RedisPrefix, PoolSize: a.config.RedisPool, OpTimeout: a.config.RedisTimeout,
		Coder: coder, Logger: a.log, Registerer: a.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("--redis: %w", err)
	}
	a.store, a.queue = s, s.Queue(queue.Config{Max: a.config.QueueMax})
	memory, err := cache.NewMemory(int64(a.config.L1Bytes))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--l1-bytes: %w", err), s.Close())
	}
	return memory, nil
}

// openOutbox gives where revalidations wait for the store; nil: in memory.
func (a *App) openOutbox() (cache.Outbox, error) {
	if a.config.StateDir == "" {
		return nil, nil //nolint:nilnil // there is none, and nothing went wrong
	}
	o, err := outbox.Open(a.config.StateDir)
	if err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	return o, nil
}

// listen opens every listener, or none.
func (a *App) listen(ctx context.Context) error {
	mode, err := a.config.Mode()
	if err != nil {
		return err
	}
	for _, text := range a.config.Listen {
		address, err := config.ParseAddress(text)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		l, err := server.Listen(ctx, address.Network, address.Target, mode)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		a.listeners = append(a.listeners, l)
	}
	endpoints := []struct {
		flag, address string
		handler       http.Handler
	}{
		{"metrics-listen", a.config.MetricsListen, server.Metrics(a.registry, a.isReady)},
		{"debug-listen", a.config.DebugListen, server.Debug()},
	}
	for _, e := range endpoints {
		if e.address == "" {
			continue
		}
		l, err := server.Listen(ctx, "tcp", e.address, 0)
		if err != nil {
			return fmt.Errorf("--%s: %w", e.flag, err)
		}
		a.http = append(a.http, endpoint{name: e.flag, listener: l, handler: e.handler})
	}
	return nil
}

// endpoint is an HTTP listener with what it serves.
type endpoint struct {
	name     string
	listener net.Listener
	handler  http.Handler
}

// isReady says why the daemon should get no work. A store that is away is no reason: the daemon answers without it.
func (a *App) isReady(context.Context) error {
	if !a.ready.Load() {
		return errors.New("starting or stopping")
	}
	return nil
}

// Run serves until ctx ends and then stops in order: no more webhooks, jobs under way finished or given back, readiness and health off, sessions told to go away, calls
// finished under a deadline, acknowledged writes stored, store closed. It closes what New opened.
func (a *App) Run(ctx context.Context) error {
	a.log.Info("isrd starts", slog.Any("config", a.config))
	parts := []part{{"store", a.store.Run}, {"cache", a.cache.Run}}
	for _, e := range a.http {
		parts = append(parts, part{e.name, func(ctx context.Context) error { return server.RunHTTP(ctx, e.listener, e.handler) }})
		a.log.Info("serving HTTP", slog.String("for", e.name), slog.String("address", e.listener.Addr().String()))
	}
	serve := func(ctx context.Context) error {
		a.ready.Store(true)
		stop := context.AfterFunc(ctx, func() { a.ready.Store(false) })
		defer stop()
		return a.server.Run(ctx, a.listeners...)
	}
	// The worker stops before: no job is handed to a session that ends.
	parts = append(parts, part{"grpc", serve}, part{"worker", a.worker.Run})
	if a.webhooks != nil {
		parts = append(parts, part{"webhook-listen", func(ctx context.Context) error { return a.webhooks.Run(ctx, a.webhooks.listener) }})
		a.log.Info("serving HTTP", slog.String("for", "webhook-listen"), slog.String("address", a.webhooks.listener.Addr().String()))
	}
	for _, l := range a.listeners {
		a.log.Info("serving gRPC", slog.String("address", l.Addr().String()))
	}
	err := runParts(ctx, parts...)
	a.log.Info("isrd stopped")
	return errors.Join(err, a.close())
}

// close closes what New opened, whether or not it ran.
func (a *App) close() error {
	var problems []error
	for _, l := range a.listeners {
		problems = append(problems, closed(l.Close()))
	}
	for _, e := range a.http {
		problems = append(problems, closed(e.listener.Close()))
	}
	if a.webhooks != nil {
		problems = append(problems, closed(a.webhooks.listener.Close()))
	}
	return errors.Join(append(problems, a.store.Close())...)
}

// closed drops the error of closing what is closed already.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
