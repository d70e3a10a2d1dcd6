package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
	"github.com/isrd/isrd/daemon/internal/hub"
	"github.com/isrd/isrd/daemon/internal/redisstore"
	"github.com/isrd/isrd/daemon/internal/server"
)

// daemon is a node's: one life after the other.
type daemon struct {
	w     *world
	index int
	life  *life // nil: it is down
}

// life is one process: the real store, cache, hub and session service.
type life struct {
	w       *world
	name    string
	link    *link
	hub     *hub.Hub
	cache   *cache.Cache
	service isrdv1.CacheServiceServer
	streams []*stream
	ended   bool // no session is opened any more

	stopCache, stopStore context.CancelFunc
	cacheDone, storeDone chan struct{}
	sessions             sync.WaitGroup
}

// memoryBytes is L1's size: enough for a few entries, so that some are evicted.
const memoryBytes = 4 << 10

func (d *daemon) start() {
	if d.life != nil {
		return
	}
	w := d.w
	w.names++
	name := fmt.Sprintf("d%d.%d", d.index, w.names)
	w.note("start", name)
	l := &life{w: w, name: name, hub: new(hub.Hub), cacheDone: make(chan struct{}), storeDone: make(chan struct{})}
	l.link = &link{w: w, name: name, slow: w.plan.slowRedis}
	if w.net.down {
		l.link.is, l.link.since = cut, w.now()
	}
	store, err := redisstore.New(redisstore.Config{Server: l.link, Name: name, Coder: plain{}, Random: randomOf(w.rng)})
	if err != nil {
		panic(err)
	}
	memory, err := cache.NewMemory(memoryBytes)
	if err != nil {
		panic(err)
	}
	l.cache = cache.New(cache.Config{
		Store: store, Log: store, Memory: memory, Publisher: l.hub,
		LeaseTTL: leaseTTL, WaitLimit: waitLimit, FetchWaitLimit: fetchWaitLimit,
	})
	l.service = server.NewService(server.Config{
		Cache: l.cache, Hub: l.hub, WaitLimit: waitLimit, FetchWaitLimit: fetchWaitLimit, LeaseMax: leaseMax,
	})
	running, stopStore := context.WithCancel(context.Background())
	l.stopStore = stopStore
	go func() {
		defer close(l.storeDone)
		_ = store.Run(running)
		_ = store.Close()
	}()
	ctx, stopCache := context.WithCancel(context.Background())
	l.stopCache = stopCache
	go func() {
		defer close(l.cacheDone)
		_ = l.cache.Run(ctx)
	}()
	d.life = l
}

// randomOf gives a source of a daemon's own: its goroutines draw from it.
func randomOf(rng *rand.Rand) func() float64 {
	var mu sync.Mutex
	own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return own.Float64()
	}
}

// crash ends the process at once: nothing more of it gets out.
func (d *daemon) crash() {
	l := d.life
	if l == nil {
		return
	}
	d.w.note("crash", l.name)
	d.life = nil
	l.ended = true
	l.link.kill()
	for _, s := range l.streams {
		s.change(cut)
	}
	l.hub.Close()
	l.stopCache()
	l.stopStore()
}

// stop ends the process in order, as package app does, and then calls what follows.
func (d *daemon) stop(then func()) {
	l := d.life
	if l == nil || l.ended {
		return
	}
	d.w.note("stop", l.name)
	d.w.stoppedAt = d.w.now()
	l.ended = true
	d.w.after(shutdownTimeout, func() {
		for _, s := range l.streams {
			s.change(cut)
		}
	})
	go func() {
		l.hub.Close()
		l.sessions.Wait()
		l.stopCache()
		<-l.cacheDone
		l.stopStore()
		<-l.storeDone
		d.w.arrive(&stopped{daemon: d, life: l, then: then})
	}()
}

// shutdownTimeout is how long sessions may take when a daemon stops.
const shutdownTimeout = 1500 * time.Millisecond

// stopped says that a daemon has stopped in order.
type stopped struct {
	daemon *daemon
	life   *life
	then   func()
}

func (s *stopped) order() string { return "z" + s.life.name }

func (s *stopped) take() {
	d := s.daemon
	d.w.note("stopped", s.life.name)
	s.life.link.kill()
	if d.life == s.life {
		d.life = nil
		d.w.after(0, s.then)
	}
}

// plain packs values without compressing them.
type plain struct{}

// Append implements redisstore.Coder: the lengths, in one byte each, and the bytes.
func (plain) Append(dst, header []byte, parts ...[]byte) ([]byte, error) {
	dst = append(dst, byte(len(header)>>8), byte(len(header)))
	dst = append(dst, header...)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst, nil
}

// Decode implements redisstore.Coder.
func (plain) Decode(frame []byte) (header, body []byte, err error) {
	n := int(frame[0])<<8 | int(frame[1])
	return frame[2 : 2+n], frame[2+n:], nil
}
