package simulation_test

import (
	"fmt"
	"time"

	isrdv1 "github.com/isrd/isrd/daemon/gen/isrd/v1"
)

// How a client comes to a session, keeps it, and goes on with the next: jsclient's session.ts, resume.ts, heartbeat.ts.

// connect opens a stream to the daemon of the node, or now and then to another one.
func (c *client) connect() {
	if c.bound != nil || c.opening != nil {
		return
	}
	d := c.w.daemons[c.home]
	if c.w.chance(0.25) {
		d = pick(c.w.schedule, c.w.daemons)
	}
	if d.life == nil || d.life.ended {
		c.connectLater(c.w.between(20*time.Millisecond, 300*time.Millisecond))
		return
	}
	c.w.names++
	s := newStream(c.w, fmt.Sprintf("%s-%s.%d", c.name, d.life.name, c.w.names), c, d.life)
	c.opening, c.helloAt = s, c.w.now()
	s.send(&isrdv1.SessionRequest{Frame: &isrdv1.SessionRequest_Hello{Hello: &isrdv1.Hello{
		ProtocolMin: 1, ProtocolMax: 1, App: app, Build: &isrdv1.Build{BuildId: build}, Instance: c.name, Resume: c.resume(),
	}}})
	c.after(welcomeTimeout, func() {
		if c.opening == s {
			s.change(cut)
		}
	})
}

func (c *client) connectLater(d time.Duration) { c.after(d, c.connect) }

// resume says what there is to go on with.
func (c *client) resume() *isrdv1.Resume {
	c.claimed = nil
	if c.sessionID == "" || !c.follow.known {
		return nil
	}
	r := &isrdv1.Resume{SessionId: c.sessionID, Position: c.follow.at.wire()}
	for _, l := range c.leases {
		if l.open && l.token != 0 {
			c.claimed = append(c.claimed, l)
			r.Leases = append(r.Leases, &isrdv1.LeaseClaim{Key: l.key.wire(), LeaseToken: l.token})
		}
	}
	return r
}

func (c *client) welcomed(s *stream, w *isrdv1.Welcome) {
	if s != c.opening {
		return
	}
	c.opening, c.bound, c.silent = nil, s, false
	c.sessionID = w.GetSessionId()
	if c.own.at != s.life {
		c.own = ownMarks{at: s.life, marks: make(map[string]*marks)}
	}
	c.follow.welcomed(c, w, c.helloAt)
	for _, l := range c.claimed {
		granted := uint64(0)
		for _, claim := range w.GetLeases() {
			if claim.GetLeaseToken() == l.token && claim.GetKey().GetName() == l.key.name && claim.GetKey().GetSpace() == l.key.space {
				granted = claim.GetGrantedToken()
			}
		}
		l.token = granted
		if !l.open && granted != 0 {
			c.releases = append(c.releases, release{key: l.key, token: granted})
		}
	}
	c.claimed = nil
	c.beat(s)
	c.becomeReady(s)
}

// beat sends pings, one at a time, and notices when none is answered.
func (c *client) beat(s *stream) {
	c.ping.id = 0
	var next func()
	looked := c.w.now()
	next = func() {
		if s != c.bound {
			return
		}
		now := c.w.now()
		blocked := now-looked > pingEvery+25*time.Millisecond
		looked = now
		if c.ping.id == 0 {
			c.lastID++
			c.ping.id, c.ping.sentAt = c.lastID, now
			p := &isrdv1.Ping{}
			if c.follow.known {
				p.Position = c.follow.at.wire()
			}
			s.send(&isrdv1.SessionRequest{Id: c.lastID, Frame: &isrdv1.SessionRequest_Ping{Ping: p}})
		} else if !blocked && now-max(c.heardAt, c.ping.sentAt) >= silenceLimit {
			c.fallSilent(s)
		}
		c.after(pingEvery, next)
	}
	c.after(pingEvery, next)
}

// becomeReady sends what waits in the outbox; then requests go through.
func (c *client) becomeReady(s *stream) {
	c.deliverAll(s, func(ok bool) {
		switch {
		case s != c.bound || c.silent:
		case !ok:
			s.change(cut)
		case c.link != s:
			c.link, c.ready = s, true
			c.w.note("ready", c.name, s.name)
			c.sendReleases(s)
		}
	})
}

// fallSilent lets nobody wait for a daemon that does not answer.
func (c *client) fallSilent(s *stream) {
	if s != c.bound || c.silent {
		return
	}
	c.w.note("silent", c.name)
	c.silent, c.link, c.ready = true, nil, false
	c.follow.vouchedUntil = 0
	for _, p := range sorted(c.pending) {
		if p.parked {
			c.giveUp(s, p)
		}
	}
	c.after(giveUpSilent, func() {
		if s == c.bound && c.silent {
			s.change(cut)
		}
	})
}

// moveOn leaves a daemon that stops. What is open on the old stream is of no interest to the model.
func (c *client) moveOn(s *stream) {
	if s != c.bound {
		return
	}
	c.unbind()
	c.w.after(c.w.between(time.Millisecond, 50*time.Millisecond), func() { s.change(cut) })
	c.connectLater(c.w.between(0, 50*time.Millisecond))
}

// ended is the end of a stream.
func (c *client) ended(s *stream) {
	if c.dead {
		return
	}
	c.w.note("ended", c.name, s.name)
	c.soon(func() {
		switch s {
		case c.opening:
			c.opening = nil
			c.connectLater(c.w.between(20*time.Millisecond, 300*time.Millisecond))
		case c.bound:
			c.unbind()
			c.connectLater(c.w.between(0, 50*time.Millisecond))
		}
	})
}

func (c *client) unbind() {
	c.bound, c.link, c.ready, c.silent = nil, nil, false, false
	c.releases = nil
	c.follow.vouchedUntil = 0
	clear(c.unwanted)
	for _, p := range sorted(c.pending) {
		delete(c.pending, p.id)
		p.then(nil)
	}
}

// sorted are requests in the order in which they were made.
func sorted(all map[uint64]*pending) []*pending {
	list := make([]*pending, 0, len(all))
	for _, p := range all {
		list = append(list, p)
	}
	sortByID(list)
	return list
}
