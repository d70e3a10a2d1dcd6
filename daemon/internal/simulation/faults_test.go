package simulation_test

import (
	"strings"
	"time"
)

// faultNames are all that goes wrong; see hit.
var faultNames = []string{
	"cut", "hang", "redis hangs", "redis restarts", "redis loses all", "fail-over", "evict entry", "evict lease", "evict log",
	"evict stream", "daemon crashes", "daemon stops", "client crashes", "client stalls", "session breaks", "session hangs",
	"subscription breaks", "messages lag",
}

// faults plans what goes wrong.
func (w *world) faults() {
	for _, f := range w.plan.faults {
		w.next(f)
	}
}

func (w *world) next(f fault) {
	w.after(time.Duration(w.rng.ExpFloat64()*float64(f.every)), func() {
		if w.now() < w.plan.length && w.broken == nil {
			w.hit(f.name)
			w.next(f)
		}
	})
}

// hit makes one thing go wrong.
func (w *world) hit(name string) {
	w.note("fault", name)
	d := pick(w.schedule, w.daemons)
	c := pick(w.schedule, w.clients)
	while := w.between(20*time.Millisecond, 2500*time.Millisecond)
	switch name {
	case "cut", "hang":
		if d.life != nil && !w.net.down {
			l, to := d.life.link, map[string]condition{"cut": cut, "hang": hung}[name]
			w.watch.excuse(name)
			l.change(to)
			w.after(while, func() {
				if !w.net.down && l.is == to {
					l.change(sound)
				}
			})
		}
	case "redis hangs":
		w.hang(while)
	case "redis restarts":
		w.restart(name, w.redis.keys, 0)
	case "redis loses all":
		w.restart(name, make(map[string]*stored), 0)
	case "fail-over":
		w.failOver(w.between(0, 800*time.Millisecond), d)
	case "evict entry", "evict lease", "evict log", "evict stream":
		w.evict(name)
	case "daemon crashes":
		w.watch.excuse(name)
		d.crash()
		w.after(while/4, d.start)
	case "daemon stops":
		w.watch.excuse(name)
		d.stop(d.start)
	default:
		w.hitClient(name, c, d, while)
	}
}

func (w *world) hitClient(name string, c *client, d *daemon, while time.Duration) {
	switch name {
	case "client crashes":
		if c != nil {
			i := c.slot()
			c.crash()
			w.after(while/4, func() { w.boot(i) })
		}
	case "client stalls":
		if c != nil {
			c.stall(while)
		}
	case "session breaks":
		if c != nil && c.link != nil {
			c.link.change(cut)
		}
	case "session hangs":
		if c != nil && c.link != nil {
			s := c.link
			s.change(hung)
			w.after(while, func() { s.change(sound) })
		}
	case "messages lag":
		if d.life != nil {
			l := d.life.link
			l.lag = w.between(10*time.Millisecond, 400*time.Millisecond)
			w.after(while, func() { l.lag = 0 })
		}
	case "subscription breaks":
		if d.life != nil {
			for _, s := range d.life.link.subs {
				s.sever()
			}
			d.life.link.subs = nil
		}
	}
}

// hang has Redis answer nobody for a while.
func (w *world) hang(while time.Duration) {
	if w.net.hung || w.net.down {
		return
	}
	w.watch.excuse("redis hangs")
	w.net.hung = true
	w.net.since = w.now()
	w.after(while, w.thaw)
}

func (w *world) thaw() {
	if !w.net.hung {
		return
	}
	w.net.hung = false
	w.note("thaw")
	for _, l := range w.links() {
		if l.is == sound {
			l.flush()
		}
	}
}

// failOver has a replica fall behind and then become the master. Now and then a daemon was on the node of the one before,
// and starts again.
func (w *world) failOver(lag time.Duration, d *daemon) {
	if w.net.down || w.net.replica != nil {
		return
	}
	w.net.replica = w.redis.replica()
	w.tape.snapshot()
	w.after(lag, func() {
		keys := w.net.replica
		w.net.replica = nil
		if w.net.down {
			return
		}
		w.restart("fail-over", keys, w.between(-1500*time.Millisecond, 1500*time.Millisecond))
		if w.chance(0.3) {
			d.crash()
			w.after(w.between(0, 400*time.Millisecond), d.start)
		}
	})
}

// evict loses one key.
func (w *world) evict(name string) {
	kind := map[string]string{"evict entry": ":e:{", "evict lease": ":l:{", "evict log": "}:log", "evict stream": "}:events"}[name]
	var keys []string
	for _, k := range w.redis.names() {
		if strings.Contains(k, kind) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return
	}
	w.watch.excuse(name)
	k := pick(w.schedule, keys)
	w.redis.evict(k)
	w.watch.lost(k)
}

// heal ends all that goes wrong.
func (w *world) heal() {
	w.note("heal")
	w.plan.longRender, w.plan.lagging = 0, 0
	w.thaw()
	for _, l := range w.links() {
		if !w.net.down {
			l.change(sound)
		}
	}
	for _, d := range w.daemons {
		d.start()
	}
	for i, c := range w.clients {
		if c == nil || c.dead {
			w.boot(i)
		} else if c.link != nil {
			c.link.change(sound)
		}
	}
}
