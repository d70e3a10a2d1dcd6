package simulation_test

import (
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

// What Next.js does with a page: one visit after the other, renders with the fetches in them, revalidations.

// running is a render under way in a process, which others may join.
type running struct {
	waiting []func(*content)
}

// browse lets visits and revalidations come, until the end of the seed's time.
func (c *client) browse() {
	c.again(c.w.plan.visits, c.visit)
	c.again(c.w.plan.revalidations*time.Duration(c.w.plan.clients), c.revise)
}

func (c *client) again(every time.Duration, do func()) {
	c.after(time.Duration(c.w.rng.ExpFloat64()*float64(every)), func() {
		if c.w.now() > c.w.plan.length {
			return
		}
		do()
		c.again(every, do)
	})
}

// revise changes data and says so.
func (c *client) revise() {
	p := pick(c.w.schedule, c.w.pages)
	tags := append([]string(nil), p.tags...)
	for _, f := range p.fetches {
		tags = append(tags, f.tags...)
	}
	var expire *time.Duration
	if c.w.chance(c.w.plan.soft) {
		d := time.Duration(c.w.rng.IntN(4)) * time.Second
		expire = &d
	}
	tag := pick(c.w.schedule, tags)
	c.revalidate(tag, expire, func() {
		if c.w.chance(0.5) { // whoever has changed something looks at it
			c.soon(func() { c.view(p, false, nil) })
		}
	})
}

// visit is a request for a page.
func (c *client) visit() {
	c.view(pick(c.w.schedule, c.w.pages), c.w.chance(c.w.plan.demand), nil)
}

// view answers a request for a page; then is given what it was answered with.
func (c *client) view(p *page, demand bool, then func(*content)) {
	if then == nil {
		then = func(*content) {}
	}
	key := pageKey{space: isrdv1.Space_SPACE_ROUTE, name: p.name}
	if r := c.running[p.name]; r != nil && !demand && c.w.chance(0.4) {
		r.waiting = append(r.waiting, then) // Next.js joins it, and asks nobody
		return
	}
	r := read{key: key, onDemand: demand, noLease: !demand && c.w.chance(0.1), begin: c.begin()}
	c.get(r, func(a answer) {
		if a.content != nil && !demand {
			then(a.content)
			then = func(*content) {}
		}
		if a.render != nil {
			c.renderPage(p, r, a, then)
		}
	})
}

// renderPage renders a page, or joins a render of it.
func (c *client) renderPage(p *page, r read, a answer, then func(*content)) {
	if other := c.running[p.name]; other != nil && c.w.chance(0.7) {
		// Its set ends the render of this request too. Without one, the end of the response does.
		other.waiting = append(other.waiting, func(made *content) {
			c.abandon(a.render, true)
			then(made)
		})
		return
	}
	mine := &running{waiting: []func(*content){then}}
	c.running[p.name] = mine
	made := content{key: p.name, tags: p.tags, implicit: []string{p.implicit}}
	last := c.w.chance(0.5)
	if !last {
		made.tick = c.w.origin.tick
	}
	c.readAll(p, r, nil, func(nested []*content) {
		made.nested = nested
		c.after(c.renderTime(), func() {
			if last {
				made.tick = c.w.origin.tick
			}
			c.finish(p, r, a, mine, made)
		})
	})
}

func (c *client) renderTime() time.Duration {
	if c.w.chance(c.w.plan.longRender) {
		return c.w.between(400*time.Millisecond, 2500*time.Millisecond)
	}
	return c.w.between(time.Millisecond, 120*time.Millisecond)
}

func (c *client) callTime() time.Duration {
	if c.w.chance(c.w.plan.longRender / 3) {
		return c.w.between(200*time.Millisecond, 1200*time.Millisecond)
	}
	return c.w.between(time.Millisecond, 60*time.Millisecond)
}

// readAll reads the fetches of a page, one after the other.
func (c *client) readAll(p *page, r read, before []*content, then func([]*content)) {
	if len(before) == len(p.fetches) {
		then(before)
		return
	}
	c.after(c.w.between(100*time.Microsecond, 20*time.Millisecond), func() {
		c.readFetch(p, p.fetches[len(before)], r, func(n *content) { c.readAll(p, r, append(before, n), then) })
	})
}

// readFetch reads one. What is stale is fetched again before the page goes on.
func (c *client) readFetch(p *page, f *fetch, outer read, then func(*content)) {
	if other := c.running[f.name]; other != nil && c.w.chance(0.3) {
		other.waiting = append(other.waiting, then) // Next.js 16 joins the call of another request, and asks nobody
		return
	}
	key := pageKey{space: isrdv1.Space_SPACE_FETCH, name: f.name}
	r := read{key: key, soft: []string{p.implicit}, begin: outer.begin}
	c.get(r, func(a answer) {
		if c.freshFetch(a) {
			if a.render != nil {
				c.drop(a.render)
			}
			then(a.content)
			return
		}
		if other := c.running[f.name]; other != nil && c.w.chance(0.3) {
			other.waiting = append(other.waiting, then) // what it sets ends this one too
			return
		}
		mine := &running{waiting: []func(*content){then}}
		c.running[f.name] = mine
		read := c.w.origin.tick
		c.after(c.callTime(), func() {
			made := c.w.origin.render(content{key: f.name, tick: read, tags: f.tags})
			if c.running[f.name] == mine {
				delete(c.running, f.name)
			}
			c.set(key, made, f.lifetime, r.begin, func() {})
			for _, wait := range mine.waiting {
				wait(made)
			}
		})
	})
}

// finish ends the render of a page.
func (c *client) finish(p *page, r read, a answer, mine *running, m content) {
	made := c.w.origin.render(m)
	key := pageKey{space: isrdv1.Space_SPACE_ROUTE, name: p.name}
	if c.running[p.name] == mine {
		delete(c.running, p.name)
	}
	answer := func() {
		for _, wait := range mine.waiting {
			wait(made)
		}
	}
	switch {
	case c.w.chance(c.w.plan.failing):
		c.failed(key, r, a)
		answer()
	case c.w.chance(c.w.plan.barren):
		c.abandon(a.render, true)
		answer()
	default:
		c.set(key, made, p.lifetime, r.begin, answer)
	}
}

// failed is a render that failed: Next.js writes the old value again, if there is one.
func (c *client) failed(key pageKey, r read, a answer) {
	if a.content == nil || r.onDemand || c.link == nil {
		c.abandon(a.render, false)
		return
	}
	ended := c.closeRenders(key, r.begin, nil)
	s := &isrdv1.SetRequest{Key: key.wire(), RewriteOf: a.version.wire(), RetryAfterMs: 1000}
	if ended.base != nil {
		s.Base = ended.base.wire()
	}
	if ended.lease != nil {
		s.LeaseToken = ended.lease.token
	}
	f := &isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Set{Set: s}}
	c.request(f, clientTimeout, nil, func(answer *isrdv1.SessionResponse) {
		if ended.lease != nil {
			c.unused(ended.lease, answer)
		}
	})
}
