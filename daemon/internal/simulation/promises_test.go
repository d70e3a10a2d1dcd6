package simulation_test

import (
	"strings"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
	"github.com/isrd/isrd/daemon/internal/cache"
)

// told compares what Next.js is told with what was promised when the read began.
func (h *watch) told(c *client, r read, a answer) {
	if a.content == nil {
		return
	}
	h.contentOf(c, a)
	if r.onDemand {
		return
	}
	now := h.w.now()
	if c.busy > r.at {
		now = c.busy // the answer may have been judged then, and have lain there while the thread was busy
	}
	fresh := a.status == isrdv1.Status_STATUS_HIT
	fetched := r.key.space == isrdv1.Space_SPACE_FETCH
	if fetched {
		if fresh = c.freshFetch(a); !fresh {
			return // it is fetched again, and served to nobody
		}
	}
	readers := r.soft
	if a.near {
		h.counts["near"]++
		if since, ok := h.unreachable(c.link.lifeLink()); ok && now-since > vouchedFor {
			h.w.fail(cutOff, "%s serves %s by itself, and its daemon cannot reach Redis since %v", c.name, r.key.name, since)
		}
	}
	// What this process has revalidated itself holds at its daemon at once, also with Redis away. But what is owed is told
	// from older content by its token, which is a time by the clock of Redis: after a fail-over to a server whose clock is
	// behind, older content may have the larger one, and is served, flagged, until the mark is in the log.
	t, bad := r.own.broken(a.content, readers, fresh, now)
	if bad && (!a.flagged() || !h.w.plan.has("fail-over")) {
		h.w.fail(noResurrection, "%s was told %v %s %s of tick %d, and has itself revalidated %s: %+v",
			c.name, a.status, flagOf(a), describe(a.content), a.content.tick, t, r.own[t])
	}
	if a.flagged() {
		return
	}
	// What was lost since it asked is asked for by nobody.
	if t, bad := r.need.broken(a.content, readers, fresh, now); bad && clone(h.acked).forbids(a.content, readers, fresh, now) {
		h.w.fail(noResurrection, "%s was told %v %s %s of tick %d; acknowledged before it asked: %s %+v",
			c.name, a.status, flagOf(a), describe(a.content), a.content.tick, t, r.need[t])
	}
}

// contentOf looks whether a version is the same content wherever and whenever it is served.
func (h *watch) contentOf(c *client, a answer) {
	write := a.key + " " + cache.Version{Epoch: a.version.epoch, Seq: a.version.seq, Token: a.version.token}.String()
	if was := h.contents[write]; was != nil && was != a.content {
		h.w.fail(oneWrite, "%s was told %s %s, and %s is served under the same version: %s", c.name, flagOf(a), describe(a.content), describe(was), write)
	}
	h.contents[write] = a.content
}

func flagOf(a answer) string {
	switch {
	case a.near:
		return "(near)"
	case a.flagged():
		return "(flagged)"
	default:
		return ""
	}
}

// describe names content, for people.
func describe(c *content) string {
	var b strings.Builder
	b.WriteString(c.key + "#" + decimal(int64(c.id))) //nolint:gosec // a few hundred
	for _, n := range c.nested {
		b.WriteString(" with " + n.key + "#" + decimal(int64(n.id)) + " of tick " + decimal(int64(n.tick))) //nolint:gosec // as above
	}
	return b.String()
}

func (s *stream) lifeLink() *link {
	if s == nil {
		return &link{}
	}
	return s.life.link
}

// seen is what the look at the end has found of one page at one client.
type seen struct {
	client *client
	page   *page
	last   *content
	at     time.Duration
}

// inspect has every client read every page again and again, when all has been well for a while.
func (w *world) inspect() {
	w.note("inspect")
	w.plan.failing, w.plan.barren, w.plan.demand = 0, 0, 0
	w.watch.broughtBack()
	w.watch.must = clone(w.watch.acked)
	w.watch.seen = nil
	for _, c := range w.clients {
		for _, p := range w.pages {
			s := &seen{client: c, page: p}
			w.watch.seen = append(w.watch.seen, s)
			until := w.now() + w.plan.inspection() - 600*time.Millisecond
			var look func()
			look = func() {
				c.view(p, false, func(made *content) { s.last, s.at = made, w.now() })
				if w.now() < until {
					c.after(w.between(150*time.Millisecond, 300*time.Millisecond), look)
				}
			}
			c.after(w.between(0, 300*time.Millisecond), look)
		}
	}
}

// inspected says whether everything is new.
func (h *watch) inspected() {
	for _, s := range h.seen {
		switch {
		case len(s.client.outbox.marks) > 0:
			h.w.fail(everythingIsNew, "%s has revalidations that it could not bring to its daemon", s.client.name)
		case s.last == nil:
			h.w.fail(everythingIsNew, "%s was given nothing for %s", s.client.name, s.page.name)
		default:
			if t, bad := h.must.broken(s.last, nil, true, h.w.now()); bad {
				h.w.fail(everythingIsNew, "%s was given %s of tick %d for %s, at %v, and %s %+v was acknowledged",
					s.client.name, describe(s.last), s.last.tick, s.page.name, s.at, t, h.must[t])
			}
		}
	}
}
