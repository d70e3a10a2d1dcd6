package simulation_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

func sortByID(list []*pending) {
	slices.SortFunc(list, func(a, b *pending) int { return cmp.Compare(a.id, b.id) })
}

// outbox is what a client has not brought to a daemon yet: jsclient's outbox.ts and delivery.ts.
type outbox struct {
	marks  map[string]*mark
	serial int
}

// mark is a revalidation of one tag.
type mark struct {
	tick    uint64
	soft    bool
	expires time.Duration // by the simulation's clock
	serial  int
}

// remember takes marks into the outbox.
func (c *client) remember(tag string, tick uint64, expire *time.Duration) {
	c.outbox.serial++
	m := &mark{tick: tick, serial: c.outbox.serial}
	if expire != nil {
		m.soft, m.expires = true, c.w.now()+*expire
	}
	if was := c.outbox.marks[tag]; was != nil {
		m.soft = m.soft && was.soft
		if was.soft && m.soft {
			m.expires = min(m.expires, was.expires)
		}
	}
	c.outbox.marks[tag] = m
}

// revalidate marks a tag whose data has changed just now.
func (c *client) revalidate(tag string, expire *time.Duration, then func()) {
	tick := c.w.origin.change()
	c.w.note("revalidate", c.name, tag, tick, expire != nil)
	hold(c.w.watch.issued, tag, nil, tick)
	c.near.forget([]string{tag})
	c.remember(tag, tick, expire)
	if c.link == nil {
		then()
		return
	}
	c.deliver(c.link, []string{tag}, func(ok bool) {
		if !ok {
			c.deliverLater(c.link)
		}
		then()
	})
}

func (c *client) deliverLater(s *stream) {
	if s == nil {
		return
	}
	c.after(deliverAgain, func() {
		if s != c.bound {
			return
		}
		c.deliverAll(s, func(ok bool) {
			if !ok {
				c.deliverLater(s)
			}
		})
	})
}

// deliverAll brings everything to the daemon, whatever comes meanwhile too.
func (c *client) deliverAll(s *stream, then func(ok bool)) {
	if len(c.outbox.marks) == 0 {
		then(true)
		return
	}
	c.deliver(s, slices.Sorted(maps.Keys(c.outbox.marks)), func(ok bool) {
		if !ok || s != c.bound {
			then(false)
			return
		}
		c.deliverAll(s, then)
	})
}

// deliver brings the marks of these tags to the daemon, as they are now.
func (c *client) deliver(s *stream, tags []string, then func(ok bool)) {
	now := c.w.now()
	serials := make(map[string]int)
	request := &isrdv1.RevalidateRequest{}
	c.delivering = nil
	for _, tag := range tags {
		m := c.outbox.marks[tag]
		if m == nil {
			continue
		}
		serials[tag] = m.serial
		r := &isrdv1.Revalidation{Tag: tag}
		d := delivered{tag: tag, tick: m.tick}
		if m.soft {
			left := uint32(max(0, (m.expires-now+time.Second-1)/time.Second)) //nolint:gosec // some seconds
			r.ExpireSeconds = &left
			d.soft, d.seconds = true, left
		}
		request.Revalidations = append(request.Revalidations, r)
		c.delivering = append(c.delivering, d)
	}
	marks := c.delivering
	f := &isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Revalidate{Revalidate: request}}
	c.requestOn(s, f, revalidateTimeout, nil, func(answer *isrdv1.SessionResponse) {
		r := answer.GetRevalidate()
		if r == nil {
			then(false)
			return
		}
		c.follow.answered(placeOf(r.GetPosition()))
		for tag, serial := range serials {
			if m := c.outbox.marks[tag]; m != nil && m.serial == serial {
				delete(c.outbox.marks, tag)
			}
		}
		for _, d := range marks {
			c.w.holds(c.own.marks, c.w.now(), d)
		}
		then(true)
	})
}

// holds notes that a revalidation holds since a time. Its content may not be served any more when its time is over by the
// clock of Redis, which the daemons only estimate, and which may be another server's by then.
func (w *world) holds(all map[string]*marks, since time.Duration, d delivered) {
	if !d.soft {
		hold(all, d.tag, nil, d.tick)
		return
	}
	slack := 300 * time.Millisecond
	if w.plan.has("fail-over") {
		slack = 6 * time.Second
	}
	hold(all, d.tag, &soft{tick: d.tick, expires: since + time.Duration(d.seconds)*time.Second + slack}, d.tick)
}
