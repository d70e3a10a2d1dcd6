package redisstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// A lease whose grant was never heard of would keep everybody waiting until its TTL is over.
func TestLeaseOfALostReplyIsGivenBack(t *testing.T) {
	for name, stays := range map[string]time.Duration{
		"redis stalls":    time.Hour,
		"the caller goes": 500 * time.Millisecond, // long enough to send a script on a busy machine
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			d := start(t, redisstore.Config{URL: server.URL(), OpTimeout: time.Second})
			other := start(t, redisstore.Config{URL: server.URL()})
			r := cachetest.NewRecorder(t)
			eventually(t, cachetest.Patience, "the log is followed", func() bool { return other.Follow(t.Context(), "shop", r) == nil })
			if _, err := d.Read(t.Context(), key, cache.ReadOptions{Lease: true, TTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
			// A connection is there, beside one that the probe may be using, so that the script gets to Redis.
			eventually(t, cachetest.Patience, "two connections", func() bool {
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() { _, _ = d.Read(t.Context(), key, cache.ReadOptions{}) })
				}
				wg.Wait()
				return gauge(t, d, "isrd_redisstore_pool_idle_connections") >= 2
			})
			k := key
			k.Name = "/lost"
			server.Pause()
			ctx, cancel := context.WithCancel(t.Context())
			goes := time.AfterFunc(stays, cancel)
			_, err := d.Read(ctx, k, cache.ReadOptions{Lease: true, Holder: "h", TTL: time.Minute})
			goes.Stop()
			cancel()
			server.Resume()
			if !errors.Is(err, cache.ErrUnavailable) {
				t.Fatal(err)
			}
			// It is told, so that those who wait need not look.
			begun := time.Now()
			h := r.Await(t, "the release", func(h cachetest.Heard) bool { return len(h.Released) > 0 })
			if took := time.Since(begun); took > 2*time.Second+slack {
				t.Errorf("released after %v", took)
			}
			if h.Released[0] != k.ID() {
				t.Errorf("%v was released", h.Released)
			}
			again, err := other.Read(t.Context(), k, cache.ReadOptions{Lease: true, Holder: "h", TTL: time.Minute})
			if err != nil || !again.Granted {
				t.Fatalf("%+v, %v", again, err)
			}
			// The key that was granted in order is left alone, and so is the next lease, of the same holder.
			for _, k := range []cache.Key{k, key} {
				if is := read(t, d, k); !is.Held || is.Kept {
					t.Errorf("lease of %s: %+v", k.Name, is)
				}
			}
		})
	}
}
