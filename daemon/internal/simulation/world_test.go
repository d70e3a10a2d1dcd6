package simulation_test

import (
	"fmt"
	"testing"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// The names of the simulated fleet.
const (
	app   = "shop"
	build = "b1"
)

// Limits of the simulated daemons: shorter than the defaults, so that they are reached.
const (
	leaseTTL       = 2 * time.Second
	leaseMax       = 6 * time.Second
	waitLimit      = 2 * time.Second
	fetchWaitLimit = 500 * time.Millisecond
)

// world is one simulated fleet.
type world struct {
	*schedule
	seed    uint64
	plan    plan
	redis   *redis
	net     network
	daemons []*daemon
	clients []*client
	origin  *origin
	pages   []*page
	trace   trace
	watch   *watch
	names   int
	tape    *tape // what Redis was asked, if it is to be replayed
	broken  *violation
	// stoppedAt is when a daemon stopped in order, the last time.
	stoppedAt time.Duration
}

// network is what all links to Redis have in common.
type network struct {
	hung    bool
	down    bool
	since   time.Duration      // when it began to hang
	replica map[string]*stored // as of when it began to lag; nil: it does not
}

// violation is a promise that was not kept.
type violation struct {
	promise string
	text    string
	at      time.Duration
}

func (v *violation) String() string { return fmt.Sprintf("%s: at %v: %s", v.promise, v.at, v.text) }

// page is one page of the app, and what it is made of.
type page struct {
	name     string
	id       cache.ID
	tags     []string
	implicit string
	fetches  []*fetch
	lifetime lifetime
}

// fetch is data that pages read.
type fetch struct {
	name     string
	id       cache.ID
	tags     []string
	lifetime lifetime
}

// lifetime is in seconds; 0: without limit.
type lifetime struct{ revalidate, expire uint32 }

func newWorld(seed uint64, p plan) *world {
	w := &world{schedule: newSchedule(seed), seed: seed, plan: p, origin: newOrigin()}
	w.plan.draw(w.schedule)
	if w.plan.tune != nil {
		w.plan.tune(&w.plan)
	}
	w.redis = newRedis(w.begun)
	w.redis.offset = w.between(-time.Hour, time.Hour)
	w.watch = newWatch(w)
	w.site()
	for i := range w.plan.daemons {
		d := &daemon{w: w, index: i}
		w.daemons = append(w.daemons, d)
		w.after(w.between(0, 20*time.Millisecond), d.start)
	}
	for i := range w.plan.clients {
		w.clients = append(w.clients, nil)
		w.after(w.between(0, 200*time.Millisecond), func() { w.boot(i) })
	}
	return w
}

// site makes up the app.
func (w *world) site() {
	tags := []string{"t0", "t1", "t2"}
	var fetches []*fetch
	for i := range w.plan.fetches {
		f := &fetch{name: fmt.Sprintf("f%d", i), tags: []string{pick(w.schedule, tags)}, lifetime: w.lifetime()}
		f.id = cache.Key{App: app, Space: cache.Fetch, Name: f.name}.ID()
		fetches = append(fetches, f)
	}
	for i := range w.plan.pages {
		name := fmt.Sprintf("/p%d", i)
		p := &page{name: name, implicit: "_N_T_" + name, lifetime: w.lifetime()}
		p.id = cache.Key{App: app, Build: build, Space: cache.Route, Name: name}.ID()
		p.tags = []string{p.implicit}
		if w.chance(0.7) {
			p.tags = append(p.tags, pick(w.schedule, tags))
		}
		for _, f := range fetches {
			if w.chance(0.6) {
				p.fetches = append(p.fetches, f)
			}
		}
		w.pages = append(w.pages, p)
	}
}

func (w *world) lifetime() lifetime {
	l := lifetime{revalidate: uint32(w.rng.IntN(6))} //nolint:gosec // small
	if w.chance(0.3) {
		l.expire = l.revalidate + 1 + uint32(w.rng.IntN(4)) //nolint:gosec // small
	}
	return l
}

// hop is how long a frame takes between a client and a daemon.
func (w *world) hop() time.Duration {
	d := w.between(20*time.Microsecond, 300*time.Microsecond)
	if w.chance(w.plan.slowHops) {
		d += w.between(0, w.plan.slowHop)
	}
	return d
}

// lag is how much longer a frame of a daemon takes than another.
func (w *world) lag(f *isrdv1.SessionResponse) time.Duration {
	switch f.GetFrame().(type) {
	case *isrdv1.SessionResponse_Pong, *isrdv1.SessionResponse_Events:
		if w.chance(w.plan.lagging) {
			return w.between(300*time.Millisecond, 1400*time.Millisecond)
		}
	}
	return 0
}

func (w *world) note(kind string, details ...any) { w.trace.add(w.now(), kind, details...) }

// fail notes that a promise was not kept. The first one counts.
func (w *world) fail(promise, format string, args ...any) {
	if w.broken == nil {
		w.broken = &violation{promise: promise, text: fmt.Sprintf(format, args...), at: w.now()}
		w.note("BROKEN", promise, w.broken.text)
	}
}

// boot starts the process of a client.
func (w *world) boot(i int) {
	w.names++
	c := newClient(w, fmt.Sprintf("c%d.%d", i, w.names), i%len(w.daemons))
	w.clients[i] = c
	w.note("boot", c.name)
	c.connect()
	c.browse()
}

// play lets the seed run, and then heals everything and looks whether all is well.
func (w *world) play() {
	look := func() bool {
		w.watch.step()
		return w.broken == nil
	}
	w.faults()
	w.after(w.plan.length, w.heal)
	w.run(w.plan.length+settled, look)
	if w.broken == nil && w.stoppedAt > 0 {
		w.run(max(w.now(), w.stoppedAt+leasesKept), look)
	}
	if w.broken == nil {
		w.inspect()
		w.run(w.now()+w.plan.inspection(), look)
	}
	if w.broken == nil {
		w.watch.inspected()
	}
	w.shutDown()
}

// shutDown ends everything, so that every goroutine of the seed does.
func (w *world) shutDown() {
	for _, c := range w.clients {
		if c != nil {
			c.crash()
		}
	}
	for _, d := range w.daemons {
		d.crash()
	}
	w.events = nil
	w.run(w.now()+20*time.Second, func() bool { return true })
}

// result is what became of a seed.
type result struct {
	seed   uint64
	steps  int
	broken *violation
	trace  trace
	tape   *tape
	counts map[string]int
}

// once runs one seed in the bubble of its test.
func once(t *testing.T, seed uint64, p plan) result {
	t.Helper()
	var w *world
	inBubble(t, seed, func() {
		w = newWorld(seed, p)
		if p.tape {
			w.tape = new(tape)
		}
		w.play()
	})
	return result{seed: seed, steps: w.steps, broken: w.broken, trace: w.trace, tape: w.tape, counts: w.watch.counts}
}
