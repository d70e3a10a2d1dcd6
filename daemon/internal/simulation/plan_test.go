package simulation_test

import (
	"slices"
	"time"
)

// plan is what a seed is made of. Not every seed has everything: what is rare finds its way only where the rest is quiet.
type plan struct {
	plant                            plant
	tune                             func(*plan) // what was drawn
	tape                             bool
	daemons, clients, pages, fetches int
	length                           time.Duration
	// visits and revalidations are the mean pauses of one client between two of them.
	visits, revalidations time.Duration
	slowRedis, slowHop    time.Duration
	slowHops              float64 // how many of them
	// soft is how many of the revalidations only make stale; longRender, failing, barren and demand of the renders take
	// long, fail, end without a write, or are asked for.
	soft, longRender, failing, barren, demand float64
	// lagging is how many of the pongs and events take long to reach a client.
	lagging float64
	faults  []fault
}

// fault is something that goes wrong, again and again.
type fault struct {
	name  string
	every time.Duration // the mean pause
}

const (
	// settled is the time for all to settle after it was healed: what is being rendered then is written by its end, or soon.
	settled = 2800 * time.Millisecond
	// leasesKept is for how long a daemon that stops keeps the leases of its clients, and a little more: also those that no
	// client claims, because it has sent a set and waits for its answer no longer.
	leasesKept = 6 * time.Second
)

// inspection is the time for the look at every key, at the end of a seed: longer where many frames are slow.
func (p *plan) inspection() time.Duration {
	if p.slowHops < 0.1 {
		return 1600 * time.Millisecond
	}
	return 1600*time.Millisecond + 2*p.slowHop
}

func (p *plan) has(name string) bool {
	return slices.ContainsFunc(p.faults, func(f fault) bool { return f.name == name })
}

func (p *plan) draw(s *schedule) {
	p.daemons = 1 + s.rng.IntN(3)
	p.clients = p.daemons + s.rng.IntN(3)
	p.pages = 1 + s.rng.IntN(3)
	p.fetches = s.rng.IntN(3)
	p.length = s.between(1500*time.Millisecond, 4*time.Second)
	p.visits = pick(s, millis(80, 150, 300, 500))
	p.revalidations = pick(s, millis(200, 500, 1500))
	p.slowRedis = pick(s, millis(2, 20, 160, 400))
	p.slowHop = pick(s, millis(1, 10, 100, 500))
	p.slowHops = pick(s, []float64{0.02, 0.02, 0.2})
	p.soft = pick(s, []float64{0, 0.3, 0.7})
	p.longRender = pick(s, []float64{0, 0.1, 0.3})
	p.failing = pick(s, []float64{0, 0, 0.2})
	p.barren = pick(s, []float64{0, 0, 0.2})
	p.demand = pick(s, []float64{0, 0, 0.1})
	if s.chance(0.06) {
		p.lagging = 0.5
	}
	for _, name := range faultNames {
		if s.chance(0.3) {
			p.faults = append(p.faults, fault{name: name, every: s.between(500*time.Millisecond, 3*time.Second)})
		}
	}
}

func millis(list ...int) []time.Duration {
	out := make([]time.Duration, len(list))
	for i, ms := range list {
		out[i] = time.Duration(ms) * time.Millisecond
	}
	return out
}
