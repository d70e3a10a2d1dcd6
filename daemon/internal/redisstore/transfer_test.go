package redisstore_test

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/cache/cachetest"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/redisstore/redistest"
)

// network passes on what the server sends with at most rate bytes per second and connection, and gives its address.
func network(t *testing.T, server *redistest.Server, rate int) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait() // the store was closed before, and its connections with it
	})
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server.Addr()) //nolint:noctx // on the loopback interface
			if err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() {
				_, _ = io.Copy(upstream, client)
				_ = upstream.Close()
			})
			wg.Go(func() {
				_, _ = io.Copy(&throttled{Writer: client, rate: rate}, upstream)
				_ = client.Close()
			})
		}
	})
	return l.Addr().String()
}

// throttled is never ahead of its rate. Where it is late, as a timer is that a busy machine fires, it catches up.
type throttled struct {
	io.Writer
	rate  int
	until time.Time // when all before would have gone through
}

func (w *throttled) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(w.until) > 100*time.Millisecond { // it was idle
		w.until = now
	}
	w.until = w.until.Add(time.Duration(len(p)) * time.Second / time.Duration(w.rate))
	<-time.After(time.Until(w.until)) // it is a network: the delay is what it does
	return w.Writer.Write(p)
}

// large is an entry of about size bytes, which do not compress.
func large(t *testing.T, token uint64, size int) *cache.Entry {
	t.Helper()
	body := make([]byte, size)
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	e := entryOf(key, token)
	e.Key.Name, e.Parts = "/large", [][]byte{body}
	return e
}

// A large value gets the time of its size, as it did when it was written.
func TestLargeReadGetsTheTimeOfItsSize(t *testing.T) {
	server := redistest.Start(t)
	d := start(t, redisstore.Config{URL: "redis://" + network(t, server, 64<<20), OpTimeout: opTimeout})
	eventually(t, cachetest.Patience, "redis answers", func() bool { return up(t, d) == 1 })
	e := large(t, 5, 24<<20)
	eventually(t, cachetest.Patience, "a large write", func() bool {
		_, err := d.Write(t.Context(), e, cache.WriteOptions{})
		return err == nil
	})
	var r cache.Reading
	eventually(t, cachetest.Patience, "a large read", func() bool {
		var err error
		r, err = d.Read(t.Context(), e.Key, cache.ReadOptions{Lease: true, Holder: "h", TTL: time.Minute})
		return err == nil
	})
	if r.Entry == nil || r.Entry.Version != e.Version || len(r.Entry.Parts[0]) != 24<<20 || r.Granted || r.Held {
		t.Fatalf("granted %v, held %v", r.Granted, r.Held)
	}
	// A lease that was granted to nobody, because the reply came too late, is ended, and asked for again.
	eventually(t, cachetest.Patience, "a lease for the version that is there", func() bool {
		var err error
		r, err = d.Read(t.Context(), e.Key, cache.ReadOptions{Judged: e.Version, Lease: true, Holder: "h", TTL: time.Minute})
		return err == nil && !r.Held
	})
	if r.Entry != nil || !r.Granted {
		t.Errorf("for the version that is there: %+v", r)
	}
}

// A network that is too slow for large values is no reason to go without the small ones.
func TestSlowTransfersDoNotTripTheBreaker(t *testing.T) {
	server := redistest.Start(t)
	// A second is enough for what is small, whatever the machine does beside it. 16 MiB get another one, and need four.
	d := start(t, redisstore.Config{URL: "redis://" + network(t, server, 4<<20), OpTimeout: time.Second})
	eventually(t, cachetest.Patience, "redis answers", func() bool { return up(t, d) == 1 })
	e := large(t, 5, 16<<20)
	eventually(t, cachetest.Patience, "a large write", func() bool {
		_, err := d.Write(t.Context(), e, cache.WriteOptions{})
		return err == nil
	})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := d.Read(t.Context(), e.Key, cache.ReadOptions{}); !errors.Is(err, cache.ErrUnavailable) {
				t.Errorf("16 MiB at 4 MiB/s within two seconds: %v", err)
			}
		})
	}
	wg.Wait()
	if n := outcomes(t, d, "fetch", "slow"); n < 4 { // more than it takes to trip it
		t.Errorf("%d of 5 transfers counted as slow", n)
	}
	eventually(t, cachetest.Patience, "a small read", func() bool {
		_, err := d.Read(t.Context(), key, cache.ReadOptions{})
		return err == nil
	})
	if n := outcomes(t, d, "read", "refused"); n != 0 {
		t.Errorf("%d small reads were refused", n)
	}
}
