package simulation_test

import (
	"fmt"
	"time"

	"github.com/isrd/isrd/daemon/internal/redisstore"
)

// eval carries out a script, as one step, and tells those who listen.
func (w *world) eval(l *link, c *call) ([]any, error) {
	s := &script{redis: w.redis, now: w.redis.micros(), names: c.keys, args: c.args, plant: w.plan.plant}
	s.check(c.script.Name)
	w.tape.before(s, c.script)
	w.watch.before(s, c.script.Name)
	reply, err := s.perform(c.script.Name)
	w.watch.after(s, c.script.Name)
	w.tape.after(reply)
	w.note("eval", l.name, c.script.Name, c.keys[:min(len(c.keys), 1)], c.shown(), "->", reply)
	for _, m := range s.told {
		w.publish(m)
	}
	return reply, err
}

// perform finds the script.
func (s *script) perform(name string) ([]any, error) {
	switch name {
	case "read":
		return s.read(), nil
	case "write":
		return s.write(), nil
	case "release":
		return s.release(), nil
	case "renew":
		return s.renew(), nil
	case "claim":
		return s.claim(), nil
	case "abandon":
		return s.abandon(), nil
	case "append":
		return s.add(), nil
	case "load":
		return s.load(), nil
	case "ack":
		return s.ack(), nil
	case "members":
		return s.members(), nil
	case "prune":
		return s.prune(), nil
	case "restore":
		return s.restore(), nil
	default:
		return nil, fmt.Errorf("%w: the model has no script %q", redisstore.ErrAnswer, name)
	}
}

// publish tells a message to every daemon that listens.
func (w *world) publish(m message) {
	for _, d := range w.daemons {
		if d.life == nil {
			continue
		}
		for _, sub := range d.life.link.subs {
			if !sub.channels[m.channel] || sub.isBroken() {
				continue
			}
			if w.plan.plant == gapIgnored && m.text[0] == 'e' && w.chance(0.5) {
				continue // the plant needs it: a message that is lost without a cut
			}
			sub.send(redisstore.Message{Channel: m.channel, Payload: m.text})
		}
	}
}

// restart replaces the server's process: nobody reaches it until it is back, with what it has kept. It has another clock
// then, if it is another server.
func (w *world) restart(what string, keys map[string]*stored, skew time.Duration) {
	w.note("restart", what)
	w.watch.excuse("restart")
	before := make(map[*link]condition)
	for _, l := range w.links() {
		before[l] = l.is
		l.change(cut)
	}
	w.redis.keys = keys
	w.tape.replaced(keys) // after what was on its way when the links broke
	w.watch.lostAll()
	w.names++
	w.redis.run = fmt.Sprintf("run%d", w.names)
	w.redis.offset += skew
	w.net.hung = false
	w.net.down = true
	w.after(w.between(10*time.Millisecond, 700*time.Millisecond), func() {
		w.net.down = false
		for _, l := range w.links() {
			if was, there := before[l]; !there || was != cut || w.now() > w.plan.length {
				w.reconnect(l)
			}
		}
	})
}

// reconnect lets a daemon find the server that is back: each in its own time, as they look for it now and then.
func (w *world) reconnect(l *link) {
	if w.now() > w.plan.length || w.chance(0.5) {
		l.change(sound)
		return
	}
	run := w.redis.run
	w.after(w.between(0, 600*time.Millisecond), func() {
		if w.redis.run == run && !w.net.down && l.is == cut {
			l.change(sound)
		}
	})
}

func (w *world) links() []*link {
	var all []*link
	for _, d := range w.daemons {
		if d.life != nil {
			all = append(all, d.life.link)
		}
	}
	return all
}
