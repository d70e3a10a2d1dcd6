package cache

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config of a Cache. Store, Log, Memory and Publisher must be given; the zero value of every other field works.
type Config struct {
	// Store holds entries and leases.
	Store Store
	// Log holds invalidations.
	Log Log
	// Memory is L1: what is served without asking the store.
	Memory *Memory
	// Embedded says that Memory is the store's own, so that there is nothing to keep in step.
	Embedded bool
	// Publisher passes events on to the sessions.
	Publisher Publisher
	// Outbox keeps the revalidations that the store has not got; nil: they are lost with the process.
	Outbox Outbox
	// LeaseTTL is how long a lease lives. Default 30 s.
	LeaseTTL time.Duration
	// WaitLimit is the longest that a read of a page or an image is parked. Default 10 s.
	WaitLimit time.Duration
	// FetchWaitLimit is the same for fetches and 'use cache', which are read inside renders. Default 1 s.
	FetchWaitLimit time.Duration
	// MaxOutageAge is for how long what is in memory is served while the store is away. Default 1 h.
	MaxOutageAge time.Duration
	// MaxEntryBytes is the largest body that is taken. 0: no limit.
	MaxEntryBytes int
	// CountReads counts which pages are read most, for MostRead.
	CountReads bool
	// QueueBytes bounds the writes that were acknowledged and are not in the store yet. Default 64 MiB.
	QueueBytes int
	// Logger for what an operator must know.
	Logger *slog.Logger
	// Registerer of the metrics.
	Registerer prometheus.Registerer
}

// Cache is the cache of one daemon, for all its apps. It is safe for concurrent use.
type Cache struct {
	config        Config
	store         Store
	invalidations Log
	memory        *Memory
	publisher     Publisher
	log           *slog.Logger
	metrics       *metrics
	flights       flights
	writer        *writer
	tokens        *tokens

	mu   sync.Mutex
	apps map[string]*app

	begun chan *app // those whose upkeep is to begin
}

// New returns a cache. Nothing runs until Run does; until then writes are queued.
func New(cfg Config) *Cache {
	cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, 30*time.Second)
	cfg.WaitLimit = cmp.Or(cfg.WaitLimit, 10*time.Second)
	cfg.FetchWaitLimit = cmp.Or(cfg.FetchWaitLimit, time.Second)
	cfg.MaxOutageAge = cmp.Or(cfg.MaxOutageAge, time.Hour)
	cfg.QueueBytes = cmp.Or(cfg.QueueBytes, 64<<20)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	c := &Cache{
		config:        cfg,
		store:         cfg.Store,
		invalidations: cfg.Log,
		memory:        cfg.Memory,
		publisher:     cfg.Publisher,
		log:           cfg.Logger,
		writer:        newWriter(cfg.QueueBytes),
		tokens:        newTokens(),
		apps:          make(map[string]*app),
		begun:         make(chan *app, maxApps),
	}
	c.metrics = newMetrics(cfg.Registerer, cfg.Memory, c.appsVouched)
	return c
}

// drainLimit is how long a stopping daemon goes on to store what it acknowledged.
const drainLimit = 5 * time.Second

// Run stores acknowledged writes and keeps the apps in step with their logs until ctx ends; what is left to store is
// stored then, for a bounded time.
func (c *Cache) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.writer.run(ctx, drainLimit, c.persistLater) })
	for {
		select {
		case a := <-c.begun:
			wg.Go(func() { a.keep(ctx) })
			wg.Go(func() { a.tell(ctx) })
		case <-ctx.Done():
			return nil
		}
	}
}
