package redisstore_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/codec"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// go-redis dials on in the background for up to a second after the pool was closed.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// daemon is a store as a daemon runs it.
type daemon struct {
	*redisstore.Store
	registry *prometheus.Registry
	logs     *logs
	stop     func()
}

// patient is enough for a busy machine; what a test says of time, it says with a time-out of its own.
const patient = 5 * time.Second

func start(t testing.TB, cfg redisstore.Config) *daemon {
	t.Helper()
	coder, err := codec.New(codec.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{registry: prometheus.NewPedanticRegistry(), logs: new(logs)}
	cfg.Coder = coder
	cfg.Registerer = d.registry
	cfg.Logger = slog.New(slog.NewTextHandler(d.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.OpTimeout == 0 {
		cfg.OpTimeout = patient
	}
	if d.Store, err = redisstore.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(cachetest.Patience):
			t.Error("Run does not return")
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			t.Logf("the store said:\n%s", d.logs)
		}
	})
	return d
}

func TestContract(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	server := redistest.Start(t)
	for name, url := range map[string]string{"TCP": server.URL(), "Unix": server.UnixURL()} {
		t.Run(name, func(t *testing.T) { contract(t, url) })
	}
}

func TestContractOnCluster(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	contract(t, redistest.StartCluster(t).URL())
}

func TestContractOnSentinel(t *testing.T) {
	t.Parallel() // it waits more than it works, for a Redis of its own
	contract(t, redistest.StartSentinel(t).URL())
}

func contract(t *testing.T, url string) {
	t.Helper()
	cachetest.Store(t, func(t *testing.T) []cachetest.Backend {
		cfg := redisstore.Config{URL: url, Prefix: rand.Text()}
		return []cachetest.Backend{start(t, cfg), start(t, cfg)}
	})
}

// logs keeps what a store logs.
type logs struct {
	mu   sync.Mutex
	text []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

var key = cache.Key{App: "shop", Build: "b", Space: cache.Route, Name: "/p"}
