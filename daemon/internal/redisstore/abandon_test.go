package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// A lease whose grant was never heard of would keep everybody waiting until its TTL is over.
func TestLeaseOfALostReplyIsGivenBack(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, server *redistest.Server, d *daemon, k cache.Key) error{
		"redis stalls": func(t *testing.T, server *redistest.Server, d *daemon, k cache.Key) error {
			t.Helper()
			server.Pause()
			defer server.Resume()
			_, err := d.Read(t.Context(), k, cache.ReadOptions{Lease: true, Holder: "h", TTL: time.Minute})
			return err
		},
		"the caller goes": func(t *testing.T, server *redistest.Server, d *daemon, k cache.Key) error {
			t.Helper()
			server.Pause()
			defer server.Resume()
			ctx, cancel := context.WithCancel(t.Context())
			defer time.AfterFunc(20*time.Millisecond, cancel).Stop()
			_, err := d.Read(ctx, k, cache.ReadOptions{Lease: true, Holder: "h", TTL: time.Minute})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			d := start(t, redisstore.Config{URL: server.URL(), OpTimeout: opTimeout})
			other := start(t, redisstore.Config{URL: server.URL()})
			r := cachetest.NewRecorder(t)
			eventually(t, cachetest.Patience, "the log is followed", func() bool { return other.Follow(t.Context(), "shop", r) == nil })
			// A connection is there, so that the script gets to Redis.
			if _, err := d.Read(t.Context(), key, cache.ReadOptions{Lease: true, TTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
			k := key
			k.Name = "/lost"
			if err := lose(t, server, d, k); !errors.Is(err, cache.ErrUnavailable) {
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
				if is, err := d.Read(t.Context(), k, cache.ReadOptions{}); err != nil || !is.Held || is.Kept {
					t.Errorf("lease of %s: %+v, %v", k.Name, is, err)
				}
			}
		})
	}
}
