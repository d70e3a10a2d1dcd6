package redisstore_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// That the daemon has more to do than it has connections says nothing of Redis.
func TestBusyConnectionsDoNotTripTheBreaker(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: server.URL(), OpTimeout: time.Second, PoolSize: 1})
	eventually(t, cachetest.Patience, "redis answers", func() bool { return up(t, d) == 1 })
	server.Pause()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			// The one that has the connection is answered in the end.
			if _, err := d.Read(t.Context(), key, cache.ReadOptions{}); err != nil && !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("read: %v", err)
			}
		})
	}
	// One waits for Redis, the others for its connection, half as long.
	eventually(t, cachetest.Patience, "the others gave up", func() bool { return outcomes(t, d, "read", "busy") >= 5 })
	server.Resume()
	wg.Wait()
	if got := up(t, d); got != 1 {
		t.Error("all connections are in use, and Redis counts as gone")
	}
	if _, err := d.Read(t.Context(), key, cache.ReadOptions{}); err != nil {
		t.Error(err)
	}
}

// outcomes counts the operations that came to this.
func outcomes(t testing.TB, d *daemon, op, outcome string) uint64 {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "isrd_redisstore_operation_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); l[0].GetValue() == op && l[1].GetValue() == outcome {
				return m.GetHistogram().GetSampleCount()
			}
		}
	}
	return 0
}
