package memstore

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	cachetest.Store(t, func(t *testing.T) []cachetest.Backend { return []cachetest.Backend{open(t, Config{})} })
}

var key = cache.Key{App: "a", Space: cache.Fetch, Name: "k"}

// With a clock that stands still, and then runs backwards, tokens grow nevertheless.
func TestTokensGrowWithoutAClock(t *testing.T) {
	s := open(t, Config{})
	now := s.now()
	s.now = func() int64 { return now }
	last := uint64(0)
	for range 100 {
		r, err := s.Read(t.Context(), key, cache.ReadOptions{Lease: true, TTL: time.Minute})
		if err != nil || !r.Granted || r.Token <= last {
			t.Fatalf("%+v after token %d: %v", r, last, err)
		}
		if _, err := s.Release(t.Context(), key, r.Token, cache.ReleaseOptions{}); err != nil {
			t.Fatal(err)
		}
		last = r.Token
		now -= 1000
	}
}

func TestRunForgetsLeasesThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{})
		if _, err := s.Read(t.Context(), key, cache.ReadOptions{Lease: true, TTL: 30 * time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		if n := s.leases.Sweep(s.Now()); n != 1 {
			t.Errorf("%d leases before the end", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := s.leases.Sweep(0); n != 0 {
			t.Errorf("%d leases are kept after the end", n)
		}
	})
}

func TestFollowTwice(t *testing.T) {
	s := open(t, Config{})
	if err := s.Follow(t.Context(), "a", cachetest.NewRecorder(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Follow(t.Context(), "a", cachetest.NewRecorder(t)); err == nil {
		t.Error("the second follower would have replaced the first")
	}
}

func TestBound(t *testing.T) {
	s := open(t, Config{MaxBytes: 10_000})
	for token := range uint64(20) {
		e := &cache.Entry{Key: key, Version: cache.Version{Epoch: 1, Token: token + 1}, Lifetime: cache.Lifetime{Expire: time.Hour}, Parts: [][]byte{make([]byte, 4000)}}
		e.Key.Name = string(rune('a' + token))
		if stored, err := s.Write(t.Context(), e, cache.WriteOptions{}); err != nil || !stored {
			t.Fatalf("%v, %v", stored, err)
		}
	}
	if b := s.Memory().Bytes(); b > 10_000 || s.Memory().Len() != 2 {
		t.Errorf("%d entries of %d bytes, the bound is 10000", s.Memory().Len(), b)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	if _, err := New(Config{MaxBytes: -1}); err == nil {
		t.Error("a store of -1 bytes was made")
	}
}
